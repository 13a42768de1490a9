-- name: lock_chat
-- Locks the chat $1 until the transaction ends, if the caller may do to it what follows. A writer
-- of a chat, its shares or its refs does this first, in a statement of its own: the next statement
-- then sees everything that was committed before. Where the predicate does not hold of what is
-- committed, nothing is locked, and no other transaction is waited for.
SELECT c.id
FROM chats c
WHERE c.id = $1
    AND (/* readable */ TRUE)
    AND (/* allowed */ TRUE)
FOR NO KEY UPDATE
