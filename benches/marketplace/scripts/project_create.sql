-- A project, as a draft.
\set customer random(1 + 200 * :scale, 1000 * :scale)
\set id random(1, 9000000000000000000)
\set category random(1, 40)
\set region 55 + random(1, 500)
INSERT INTO "public"."Project" ("id", "ownerId", "title", "description", "status", "regionId", "categoryId", "budget",
                                "updatedAt")
VALUES ('w' || :id, 'u' || :customer, 'A new project', 'A bathroom to be tiled.',
        CAST('DRAFT'::text AS "public"."ProjectStatus"), :region, :category, 5000000, CURRENT_TIMESTAMP)
RETURNING "public"."Project"."id", "public"."Project"."status"
    /*action='project_create',method='POST',route='%2Fapi%2Fprojects'*/;
