-- A project is changed by its owner.
\set project random(1, 5000 * :scale)
\set budget random(1000, 9000) * 1000
UPDATE "public"."Project" SET "budget" = :budget, "updatedAt" = CURRENT_TIMESTAMP
WHERE ("public"."Project"."id" = 'p' || :project AND 1=1)
RETURNING "public"."Project"."id", "public"."Project"."budget"
    /*action='project_update',method='PUT',route='%2Fapi%2Fprojects%2F%3Aid'*/;
