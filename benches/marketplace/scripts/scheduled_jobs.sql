-- A worker takes what is due, past rows that another one holds.
BEGIN;
SELECT "public"."ScheduledNotification"."id", "public"."ScheduledNotification"."userId", "public"."ScheduledNotification"."type", "public"."ScheduledNotification"."title"
FROM "public"."ScheduledNotification"
WHERE ("status" = CAST('PENDING'::text AS "public"."JobStatus") AND "scheduledFor" <= CURRENT_TIMESTAMP)
ORDER BY "scheduledFor" LIMIT 5 FOR UPDATE SKIP LOCKED
    /*action='scheduled_jobs',job='scheduler'*/;
UPDATE "public"."ScheduledNotification"
SET "status" = CAST('SENT'::text AS "public"."JobStatus"), "sentAt" = CURRENT_TIMESTAMP
WHERE "id" IN (SELECT "id" FROM "public"."ScheduledNotification"
               WHERE ("status" = CAST('PENDING'::text AS "public"."JobStatus") AND "scheduledFor" <= CURRENT_TIMESTAMP)
               ORDER BY "scheduledFor" LIMIT 5 FOR UPDATE SKIP LOCKED)
    /*action='scheduled_jobs',job='scheduler'*/;
COMMIT;
