-- User management: a page of users.
\set page random(1, 20 * :scale)
SELECT "public"."User"."id", "public"."User"."email", "public"."User"."name", "public"."User"."role",
       "public"."User"."isActive", "public"."User"."createdAt"
FROM "public"."User"
WHERE "public"."User"."role" = CAST('CUSTOMER'::text AS "public"."Role")
ORDER BY "public"."User"."createdAt" DESC LIMIT 20 OFFSET 20 * (:page - 1)
    /*action='admin_users',method='GET',route='%2Fapi%2Fadmin%2Fusers'*/;
