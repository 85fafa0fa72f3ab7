-- A category's unit prices.
\set category random(1, 40)
SELECT "public"."UnitPrice"."id", "public"."UnitPrice"."name", "public"."UnitPrice"."unit", "public"."UnitPrice"."price"
FROM "public"."UnitPrice"
WHERE "public"."UnitPrice"."categoryId" = :category
ORDER BY "public"."UnitPrice"."name" ASC OFFSET 0
    /*action='unit_prices',method='GET',route='%2Fapi%2Fpricing%2Funit-prices'*/;
