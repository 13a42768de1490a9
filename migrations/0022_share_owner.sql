-- The chat's owner, who never changes, on its shares. Written by chat-service only.
--
-- A list of those of one owner's chats that are shared with somebody is then one ordered range scan,
-- however many chats the owner has and however much is shared with the caller.

ALTER TABLE chat_acl ADD COLUMN owner_id uuid;

-- For pods of the release before, which do not name the owner, and for rows from before, whatever
-- touches them. A release after this one drops it.
CREATE FUNCTION chat_acl_fill_owner_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT c.owner_id INTO NEW.owner_id FROM chats c WHERE c.id = NEW.chat_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER chat_acl_fill_owner_id
    BEFORE INSERT OR UPDATE ON chat_acl
    FOR EACH ROW
    WHEN (NEW.owner_id IS NULL)
    EXECUTE FUNCTION chat_acl_fill_owner_id();

ALTER TABLE chat_acl
    ADD CONSTRAINT chat_acl_owner_id_check CHECK (owner_id IS NOT NULL) NOT VALID;
