-- A project is matched: status, escrow, fee and first milestone in one transaction.
\set project random(1, 5000 * :scale)
\set id random(1, 9000000000000000000)
BEGIN;
UPDATE "public"."Project"
SET "status" = CAST('MATCHED'::text AS "public"."ProjectStatus"), "updatedAt" = CURRENT_TIMESTAMP
WHERE ("public"."Project"."id" = 'p' || :project AND 1=1)
    /*action='project_match',method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fmatch'*/;
INSERT INTO "public"."Escrow" ("id", "projectId", "amount", "updatedAt")
VALUES ('w' || :id, 'p' || :project, 500000, CURRENT_TIMESTAMP)
ON CONFLICT ("projectId") DO UPDATE SET "updatedAt" = CURRENT_TIMESTAMP RETURNING "public"."Escrow"."id"
    /*action='project_match',method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fmatch'*/;
INSERT INTO "public"."FeeTransaction" ("id", "escrowId", "amount", "kind")
SELECT 'w' || :id, "id", 25000, 'MATCH' FROM "public"."Escrow" WHERE "projectId" = 'p' || :project
    /*action='project_match',method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fmatch'*/;
INSERT INTO "public"."Milestone" ("id", "projectId", "position", "title", "amount")
VALUES ('w' || :id, 'p' || :project, 1, 'Milestone 1', 250000) ON CONFLICT ("projectId", "position") DO NOTHING
    /*action='project_match',method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fmatch'*/;
COMMIT;
