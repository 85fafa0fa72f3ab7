-- Featured contractors, with their names.
SELECT "r"."contractorId", "r"."totalScore", "r"."rating", "u"."name"
FROM "public"."ContractorRanking" AS "r" JOIN "public"."User" AS "u" ON "u"."id" = "r"."contractorId"
WHERE "r"."isFeatured" = true
ORDER BY "r"."totalScore" DESC LIMIT 10
    /*action='rankings_featured',method='GET',route='%2Fapi%2Frankings%2Ffeatured'*/;
