-- name: lock_chat
-- Locks the chat $1 until the transaction ends, if the caller may do to it what follows. A writer of a
-- chat, its shares or its refs does this first, in a statement of its own: the next statement then
-- sees everything that was committed before. A predicate that does not hold of what is committed
-- locks nothing, writes nothing and waits for no other transaction.
SELECT c.id
FROM chats c
WHERE c.id = $1
    AND (/* readable */ TRUE)
    AND (/* allowed */ TRUE)
FOR NO KEY UPDATE
