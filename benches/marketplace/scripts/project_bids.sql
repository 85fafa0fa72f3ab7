-- A project's bids, best price first.
\set project random(1, 5000 * :scale)
SELECT "public"."Bid"."id", "public"."Bid"."contractorId", "public"."Bid"."price",
       "public"."Bid"."status", "public"."Bid"."createdAt"
FROM "public"."Bid"
WHERE "public"."Bid"."projectId" = 'p' || :project
ORDER BY "public"."Bid"."price" ASC LIMIT 20 OFFSET 0
    /*action='project_bids',method='GET',route='%2Fapi%2Fprojects%2F%3Aid%2Fbids'*/;
