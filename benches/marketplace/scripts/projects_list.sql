-- The marketplace: a page of open projects.
\set page random_zipfian(1, 50, 1.2)
SELECT "public"."Project"."id", "public"."Project"."title", "public"."Project"."status", "public"."Project"."regionId",
       "public"."Project"."categoryId", "public"."Project"."budget", "public"."Project"."publishedAt", "public"."Project"."ownerId"
FROM "public"."Project"
WHERE "public"."Project"."status" = CAST('OPEN'::text AS "public"."ProjectStatus")
ORDER BY "public"."Project"."publishedAt" DESC LIMIT 20 OFFSET 20 * (:page - 1)
    /*action='projects_list',method='GET',route='%2Fapi%2Fprojects'*/;
