-- A contractor's reviews, and what they come to.
\set contractor random(1, 200 * :scale)
SELECT "public"."Review"."id", "public"."Review"."projectId", "public"."Review"."authorId", "public"."Review"."rating",
       "public"."Review"."comment", "public"."Review"."createdAt"
FROM "public"."Review"
WHERE ("public"."Review"."contractorId" = 'u' || :contractor AND "public"."Review"."isDeleted" = false)
ORDER BY "public"."Review"."createdAt" DESC LIMIT 10 OFFSET 0
    /*action='reviews_contractor',method='GET',route='%2Fapi%2Freviews%2Fcontractors%2F%3Aid'*/;
SELECT COUNT(*) AS "_count$_all", AVG("rating") AS "_avg$rating"
FROM (SELECT "public"."Review"."rating" FROM "public"."Review"
      WHERE ("public"."Review"."contractorId" = 'u' || :contractor AND "public"."Review"."isDeleted" = false)
      OFFSET 0) AS "sub"
    /*action='reviews_contractor',method='GET',route='%2Fapi%2Freviews%2Fcontractors%2F%3Aid'*/;
