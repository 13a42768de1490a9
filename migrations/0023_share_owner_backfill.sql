-- no-transaction
-- The owner on shares from before, a thousand chats at a time, so that nobody waits long for a row. Run
-- again after it stopped half way, it goes on.
DO $$
DECLARE
    batch uuid[];
    done uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    LOOP
        batch := ARRAY(
            SELECT DISTINCT a.chat_id
            FROM chat_acl a
            WHERE a.chat_id > done
                AND a.owner_id IS NULL
            ORDER BY a.chat_id
            LIMIT 1000
        );
        EXIT WHEN cardinality(batch) = 0;
        -- Locked first, as by whoever writes shares, and in the order in which others lock several.
        PERFORM FROM chats c WHERE c.id = ANY(batch) ORDER BY c.id FOR UPDATE;
        UPDATE chat_acl a
        SET owner_id = c.owner_id
        FROM chats c
        WHERE c.id = a.chat_id
            AND a.chat_id = ANY(batch)
            AND a.owner_id IS NULL;
        done := batch[cardinality(batch)];
        COMMIT;
    END LOOP;
    ALTER TABLE chat_acl VALIDATE CONSTRAINT chat_acl_owner_id_check;
END
$$;
