-- The profile of the user who asks.
\set user random(1, 1000 * :scale)
SELECT "public"."User"."id", "public"."User"."email", "public"."User"."name", "public"."User"."phone",
       "public"."User"."role", "public"."User"."createdAt"
FROM "public"."User"
WHERE ("public"."User"."id" = 'u' || :user AND 1=1) LIMIT 1 OFFSET 0
    /*action='user_profile',method='GET',route='%2Fapi%2Fusers%2Fprofile'*/;
