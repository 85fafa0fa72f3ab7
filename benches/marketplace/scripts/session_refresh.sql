-- A token is refreshed.
\set session random(1, 3000 * :scale)
UPDATE "public"."Session" SET "lastUsedAt" = CURRENT_TIMESTAMP, "expiresAt" = CURRENT_TIMESTAMP + interval '30 days'
WHERE ("public"."Session"."id" = 'session' || :session AND 1=1)
RETURNING "public"."Session"."id", "public"."Session"."expiresAt"
    /*action='session_refresh',method='POST',route='%2Fapi%2Fauth%2Frefresh'*/;
