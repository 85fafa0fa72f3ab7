-- A review.
\set project random(1, 5000 * :scale)
\set contractor random(1, 200 * :scale)
\set customer random(1 + 200 * :scale, 1000 * :scale)
\set id random(1, 9000000000000000000)
\set rating random(1, 5)
INSERT INTO "public"."Review" ("id", "projectId", "contractorId", "authorId", "rating", "comment")
VALUES ('w' || :id, 'p' || :project, 'u' || :contractor, 'u' || :customer, :rating, 'Good work.')
RETURNING "public"."Review"."id"
    /*action='review_create',method='POST',route='%2Fapi%2Freviews'*/;
