-- The service categories.
SELECT "public"."ServiceCategory"."id", "public"."ServiceCategory"."name", "public"."ServiceCategory"."sortOrder"
FROM "public"."ServiceCategory"
WHERE "public"."ServiceCategory"."isActive" = true
ORDER BY "public"."ServiceCategory"."sortOrder" ASC OFFSET 0
    /*action='categories',method='GET',route='%2Fapi%2Fpricing%2Fcategories'*/;
