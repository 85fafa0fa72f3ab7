-- Every new bid is audited, whoever makes it. Written by hand, as Prisma's schema knows no triggers.
-- The WebAssembly engine cuts a migration at each semicolon, so those of the function's body are written \073.
CREATE FUNCTION "audit_bid"() RETURNS trigger LANGUAGE plpgsql AS E'
BEGIN
    INSERT INTO "AuditLog" ("userId", "eventType", "entityId", "detail")
        VALUES (NEW."contractorId", \'BID_CREATED\', NEW."projectId", jsonb_build_object(\'price\', NEW."price"))\073
    RETURN NULL\073
END';

CREATE TRIGGER "audit_bid" AFTER INSERT ON "Bid" FOR EACH ROW EXECUTE FUNCTION "audit_bid"();
