-- A logout: the token is revoked; an old session of the load test goes.
\set user random(1, 1000 * :scale)
\set id random(1, 9000000000000000000)
BEGIN;
INSERT INTO "public"."TokenBlacklist" ("id", "tokenHash", "userId", "reason", "expiresAt")
VALUES ('w' || :id, md5('w' || :id), 'u' || :user, 'logout', CURRENT_TIMESTAMP + interval '1 day')
RETURNING "public"."TokenBlacklist"."id"
    /*action='token_blacklist',method='POST',route='%2Fapi%2Fauth%2Flogout'*/;
DELETE FROM "public"."Session"
WHERE "public"."Session"."id" = (SELECT "id" FROM "public"."Session"
      WHERE "userId" = 'u' || :user AND "tokenSelector" LIKE 'w%' ORDER BY "expiresAt" LIMIT 1)
    /*action='token_blacklist',method='POST',route='%2Fapi%2Fauth%2Flogout'*/;
INSERT INTO "public"."AuditLog" ("userId", "eventType") VALUES ('u' || :user, 'LOGOUT')
    /*action='token_blacklist',method='POST',route='%2Fapi%2Fauth%2Flogout'*/;
COMMIT;
