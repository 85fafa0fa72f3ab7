-- All of them are read.
\set user random(1, 1000 * :scale)
UPDATE "public"."Notification" SET "isRead" = true, "readAt" = CURRENT_TIMESTAMP
WHERE ("public"."Notification"."userId" = 'u' || :user AND "public"."Notification"."isRead" = false)
    /*action='notification_read',method='POST',route='%2Fapi%2Fnotifications%2Fread'*/;
