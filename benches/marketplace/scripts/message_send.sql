-- A message.
\set project random(1, 5000 * :scale)
\set user random(1, 1000 * :scale)
\set id random(1, 9000000000000000000)
INSERT INTO "public"."Message" ("id", "projectId", "senderId", "body")
VALUES ('w' || :id, 'p' || :project, 'u' || :user, 'Tomorrow at nine?')
RETURNING "public"."Message"."id", "public"."Message"."createdAt"
    /*action='message_send',method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fmessages'*/;
