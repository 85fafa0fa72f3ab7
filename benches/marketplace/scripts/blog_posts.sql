-- The newest posts.
SELECT "public"."BlogPost"."id", "public"."BlogPost"."slug", "public"."BlogPost"."title", "public"."BlogPost"."publishedAt"
FROM "public"."BlogPost"
WHERE "public"."BlogPost"."publishedAt" IS NOT NULL
ORDER BY "public"."BlogPost"."publishedAt" DESC LIMIT 10 OFFSET 0
    /*action='blog_posts',method='GET',route='%2Fapi%2Fblog%2Fposts'*/;
