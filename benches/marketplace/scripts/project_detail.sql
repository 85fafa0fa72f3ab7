-- A project with its region, category and owner, each a SELECT of its own as Prisma sends them.
\set project random(1, 5000 * :scale)
SELECT "public"."Project"."id", "public"."Project"."title", "public"."Project"."description", "public"."Project"."status",
       "public"."Project"."regionId", "public"."Project"."categoryId", "public"."Project"."ownerId", "public"."Project"."budget"
FROM "public"."Project"
WHERE ("public"."Project"."id" = 'p' || :project AND 1=1) LIMIT 1 OFFSET 0
    /*action='project_detail',method='GET',route='%2Fapi%2Fprojects%2F%3Aid'*/;
SELECT "public"."Region"."id", "public"."Region"."name", "public"."Region"."level", "public"."Region"."parentId"
FROM "public"."Region"
WHERE "public"."Region"."id" IN (SELECT "regionId" FROM "public"."Project" WHERE "id" = 'p' || :project) OFFSET 0
    /*action='project_detail',method='GET',route='%2Fapi%2Fprojects%2F%3Aid'*/;
SELECT "public"."User"."id", "public"."User"."name", "public"."User"."role"
FROM "public"."User"
WHERE "public"."User"."id" IN (SELECT "ownerId" FROM "public"."Project" WHERE "id" = 'p' || :project) OFFSET 0
    /*action='project_detail',method='GET',route='%2Fapi%2Fprojects%2F%3Aid'*/;
