-- A notification for each of five users.
\set user random(1, 1000 * :scale)
\set id random(1, 9000000000000000000)
INSERT INTO "public"."Notification" ("id", "userId", "type", "title")
SELECT 'w' || :id || '_' || "n", 'u' || 1 + (:user + "n") % (1000 * :scale), 'NEWS', 'News'
FROM generate_series(1, 5) AS "n"
    /*action='notification_create',job='notify'*/;
