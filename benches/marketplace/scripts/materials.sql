-- A page of materials.
\set page random(1, 15)
SELECT "public"."Material"."id", "public"."Material"."name", "public"."Material"."unit", "public"."Material"."price"
FROM "public"."Material"
ORDER BY "public"."Material"."name" ASC LIMIT 20 OFFSET 20 * (:page - 1)
    /*action='materials',method='GET',route='%2Fapi%2Fpricing%2Fmaterials'*/;
