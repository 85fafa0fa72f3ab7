-- Content management: drafts, by a word of their titles.
\set word random(1, 999)
SELECT "public"."Project"."id", "public"."Project"."title", "public"."Project"."status", "public"."Project"."updatedAt"
FROM "public"."Project"
WHERE ("public"."Project"."status" = CAST('DRAFT'::text AS "public"."ProjectStatus")
       AND "public"."Project"."title"::text ILIKE ('%' || :word || '%'))
ORDER BY "public"."Project"."id" ASC LIMIT 20 OFFSET 0
    /*action='admin_content',method='GET',route='%2Fapi%2Fadmin%2Fprojects'*/;
