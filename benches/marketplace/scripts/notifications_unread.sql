-- The number beside the bell, which must be exact.
\set user random(1, 1000 * :scale)
SELECT COUNT(*) AS "_count$_all"
FROM (SELECT "public"."Notification"."id" FROM "public"."Notification"
      WHERE ("public"."Notification"."userId" = 'u' || :user AND "public"."Notification"."isRead" = false)
      OFFSET 0) AS "sub"
    /*action='notifications_unread',method='GET',route='%2Fapi%2Fnotifications'*/;
