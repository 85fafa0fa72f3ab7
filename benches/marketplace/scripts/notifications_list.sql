-- A page of notifications.
\set user random(1, 1000 * :scale)
SELECT "public"."Notification"."id", "public"."Notification"."type", "public"."Notification"."title",
       "public"."Notification"."isRead", "public"."Notification"."createdAt"
FROM "public"."Notification"
WHERE "public"."Notification"."userId" = 'u' || :user
ORDER BY "public"."Notification"."createdAt" DESC LIMIT 20 OFFSET 0
    /*action='notifications_list',method='GET',route='%2Fapi%2Fnotifications'*/;
