-- What requests with an Idempotency-Key made, for a day: the row is written in the transaction that makes the thing.
-- request: method and path. digest: of query and body. made: the id of the thing.

CREATE TABLE idempotency_keys (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key TEXT NOT NULL CONSTRAINT idempotency_keys_key_length CHECK (LENGTH(key) BETWEEN 1 AND 64),
    request TEXT NOT NULL,
    digest TEXT NOT NULL,
    status INTEGER NOT NULL CONSTRAINT idempotency_keys_status CHECK (status BETWEEN 200 AND 299),
    location TEXT NOT NULL,
    made TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
