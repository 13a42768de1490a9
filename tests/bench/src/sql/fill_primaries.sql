-- name: fill_primaries
-- What lists filter by of each chat's primary ref, on the chat and on its shares.
UPDATE chats c
SET primary_repository_key = r.repository_key,
    primary_pr_number = (r.pull_request ->> 'number')::integer,
    primary_pr_state = r.pull_request ->> 'state',
    primary_pr_draft = (r.pull_request ->> 'draft')::boolean,
    primary_attention = r.attention
FROM git_refs r
WHERE r.chat_id = c.id
    AND r.is_primary;

UPDATE chat_acl a
SET chat_pr = c.list_pr,
    chat_attention = c.primary_attention
FROM chats c
WHERE a.chat_id = c.id
    AND (a.chat_pr, a.chat_attention) <> (c.list_pr, c.primary_attention);

-- The rows are written anew, in the order of time, as a table that was filled over two years has
-- them.
CLUSTER chats USING chats_pkey;

CLUSTER chat_acl USING chat_acl_pkey;
