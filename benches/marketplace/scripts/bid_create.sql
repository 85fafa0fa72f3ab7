-- A bid on an open project; a trigger audits it, the owner is told.
\set project random(1, 5000 * :scale)
\set contractor random(1, 200 * :scale)
\set id random(1, 9000000000000000000)
\set price random(100, 900) * 1000
BEGIN;
SELECT "public"."Project"."id", "public"."Project"."status", "public"."Project"."ownerId"
FROM "public"."Project" WHERE ("public"."Project"."id" = 'p' || :project AND 1=1) LIMIT 1 OFFSET 0
    /*action='bid_create',method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fbids'*/;
INSERT INTO "public"."Bid" ("id", "projectId", "contractorId", "price", "message", "status", "updatedAt")
VALUES ('w' || :id, 'p' || :project, 'u' || :contractor, :price, 'We can begin on Monday.',
        CAST('PENDING'::text AS "public"."BidStatus"), CURRENT_TIMESTAMP)
ON CONFLICT ("projectId", "contractorId") DO UPDATE SET "price" = "excluded"."price", "updatedAt" = CURRENT_TIMESTAMP
RETURNING "public"."Bid"."id"
    /*action='bid_create',method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fbids'*/;
INSERT INTO "public"."Notification" ("id", "userId", "type", "title")
SELECT 'w' || :id, "ownerId", 'NEW_BID', 'A new bid' FROM "public"."Project" WHERE "id" = 'p' || :project
    /*action='bid_create',method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fbids'*/;
COMMIT;
