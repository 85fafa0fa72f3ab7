-- A contractor changes a bid's price.
\set bid random(1, 15000 * :scale)
\set price random(100, 900) * 1000
UPDATE "public"."Bid" SET "price" = :price, "updatedAt" = CURRENT_TIMESTAMP
WHERE ("public"."Bid"."id" = 'b' || :bid AND 1=1)
RETURNING "public"."Bid"."id", "public"."Bid"."price"
    /*action='bid_update',method='PATCH',route='%2Fapi%2Fbids%2F%3Aid'*/;
