-- A project's conversation.
\set project random(1, 5000 * :scale)
SELECT "public"."Message"."id", "public"."Message"."senderId", "public"."Message"."body", "public"."Message"."createdAt"
FROM "public"."Message"
WHERE "public"."Message"."projectId" = 'p' || :project
ORDER BY "public"."Message"."createdAt" ASC LIMIT 50 OFFSET 0
    /*action='project_messages',method='GET',route='%2Fapi%2Fprojects%2F%3Aid%2Fmessages'*/;
