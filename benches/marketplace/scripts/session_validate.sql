-- What every authenticated request begins with.
\set session random(1, 3000 * :scale)
SELECT "s"."id", "s"."userId", "s"."tokenHash", "s"."expiresAt", "u"."role", "u"."isActive"
FROM "public"."Session" AS "s" JOIN "public"."User" AS "u" ON "u"."id" = "s"."userId"
WHERE ("s"."tokenSelector" = 's' || :session AND "s"."expiresAt" > CURRENT_TIMESTAMP) LIMIT 1
    /*action='session_validate',method='GET',route='%2Fapi%2Fauth%2Fme'*/;
