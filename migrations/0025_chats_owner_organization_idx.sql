-- no-transaction
-- For lists of one owner's chats: those in an organization, in list order.
CREATE INDEX CONCURRENTLY chats_owner_organization_idx
    ON chats (owner_id, organization_id, updated_at DESC, id DESC)
    WHERE organization_id IS NOT NULL;
