-- The figures of the dashboard.
SELECT COUNT(*) AS "_count$_all", "public"."Project"."status"
FROM "public"."Project" WHERE 1=1 GROUP BY "public"."Project"."status" OFFSET 0
    /*action='admin_dashboard',method='GET',route='%2Fapi%2Fadmin%2Fdashboard'*/;
SELECT COUNT(*) AS "_count$_all", SUM("public"."Escrow"."amount") AS "_sum$amount"
FROM "public"."Escrow" WHERE "public"."Escrow"."status" = CAST('HELD'::text AS "public"."EscrowStatus")
    /*action='admin_dashboard',method='GET',route='%2Fapi%2Fadmin%2Fdashboard'*/;
