-- A login: the session and its audit entry in one transaction.
\set user random(1, 1000 * :scale)
\set id random(1, 9000000000000000000)
BEGIN;
INSERT INTO "public"."Session" ("id", "userId", "tokenSelector", "tokenHash", "expiresAt")
VALUES ('w' || :id, 'u' || :user, 'w' || :id, md5('token' || :id), CURRENT_TIMESTAMP + interval '30 days')
RETURNING "public"."Session"."id"
    /*action='session_create',method='POST',route='%2Fapi%2Fauth%2Flogin'*/;
INSERT INTO "public"."AuditLog" ("userId", "eventType", "ipAddress", "detail")
VALUES ('u' || :user, 'LOGIN', '127.0.0.1', '{"agent": "pgbench"}') RETURNING "public"."AuditLog"."id"
    /*action='session_create',method='POST',route='%2Fapi%2Fauth%2Flogin'*/;
COMMIT;
