-- The marketplace with filters, and how many there are.
\set region 55 + random(1, 500)
\set category random(1, 40)
SELECT "public"."Project"."id", "public"."Project"."title", "public"."Project"."status", "public"."Project"."regionId",
       "public"."Project"."categoryId", "public"."Project"."budget", "public"."Project"."publishedAt", "public"."Project"."ownerId"
FROM "public"."Project"
WHERE ("public"."Project"."status" = CAST('OPEN'::text AS "public"."ProjectStatus")
       AND ("public"."Project"."regionId" = :region OR "public"."Project"."categoryId" = :category))
ORDER BY "public"."Project"."publishedAt" DESC LIMIT 20 OFFSET 0
    /*action='projects_filtered',method='GET',route='%2Fapi%2Fprojects'*/;
SELECT COUNT(*) AS "_count$_all"
FROM (SELECT "public"."Project"."id" FROM "public"."Project"
      WHERE ("public"."Project"."status" = CAST('OPEN'::text AS "public"."ProjectStatus")
             AND ("public"."Project"."regionId" = :region OR "public"."Project"."categoryId" = :category))
      OFFSET 0) AS "sub"
    /*action='projects_filtered',method='GET',route='%2Fapi%2Fprojects'*/;
