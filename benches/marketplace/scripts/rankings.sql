-- Contractors by score.
\set page random_zipfian(1, 10, 1.5)
SELECT "public"."ContractorRanking"."contractorId", "public"."ContractorRanking"."totalScore",
       "public"."ContractorRanking"."rating", "public"."ContractorRanking"."reviewCount", "public"."ContractorRanking"."completedProjects"
FROM "public"."ContractorRanking"
ORDER BY "public"."ContractorRanking"."totalScore" DESC LIMIT 20 OFFSET 20 * (:page - 1)
    /*action='rankings',method='GET',route='%2Fapi%2Frankings'*/;
