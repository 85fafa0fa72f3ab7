-- The tree of regions.
WITH RECURSIVE "tree" AS (
    SELECT "id", "name", "level", "parentId" FROM "public"."Region" WHERE "parentId" IS NULL
    UNION ALL
    SELECT "r"."id", "r"."name", "r"."level", "r"."parentId"
    FROM "public"."Region" AS "r" JOIN "tree" ON "tree"."id" = "r"."parentId"
)
SELECT "id", "name", "level", "parentId" FROM "tree" ORDER BY "level", "name"
    /*action='regions',method='GET',route='%2Fapi%2Fregions'*/;
