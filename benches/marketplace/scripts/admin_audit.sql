-- The audit log of a user.
\set user random(1, 1000 * :scale)
SELECT "public"."AuditLog"."id", "public"."AuditLog"."eventType", "public"."AuditLog"."ipAddress",
       "public"."AuditLog"."detail", "public"."AuditLog"."createdAt"
FROM "public"."AuditLog"
WHERE "public"."AuditLog"."userId" = 'u' || :user
ORDER BY "public"."AuditLog"."createdAt" DESC LIMIT 50 OFFSET 0
    /*action='admin_audit',method='GET',route='%2Fapi%2Fadmin%2Faudit'*/;
