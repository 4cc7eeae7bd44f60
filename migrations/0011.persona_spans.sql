-- How many personas a user has of each ten days (a span: created_at up to the first digit of the day). A page far down
-- the order of creation begins at its span, instead of passing over everything before it.

CREATE TABLE persona_spans (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    span TEXT NOT NULL,
    is_nsfw INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (user_id, span, is_nsfw)
) STRICT, WITHOUT ROWID;

INSERT INTO persona_spans (user_id, span, is_nsfw, n)
SELECT user_id, SUBSTR(created_at, 1, 9) AS span, is_nsfw, COUNT(*) AS n FROM personas
GROUP BY user_id, SUBSTR(created_at, 1, 9), is_nsfw;

CREATE TRIGGER personas_span_insert AFTER INSERT ON personas
BEGIN
    INSERT INTO persona_spans (user_id, span, is_nsfw, n)
    VALUES (new.user_id, SUBSTR(new.created_at, 1, 9), new.is_nsfw, 1)
    ON CONFLICT (user_id, span, is_nsfw) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER personas_span_delete AFTER DELETE ON personas
BEGIN
    UPDATE persona_spans SET n = n - 1
    WHERE user_id = old.user_id AND span = SUBSTR(old.created_at, 1, 9) AND is_nsfw = old.is_nsfw;
END;

CREATE TRIGGER personas_span_update AFTER UPDATE OF is_nsfw, created_at ON personas
WHEN old.is_nsfw <> new.is_nsfw OR old.created_at <> new.created_at
BEGIN
    UPDATE persona_spans SET n = n - 1
    WHERE user_id = old.user_id AND span = SUBSTR(old.created_at, 1, 9) AND is_nsfw = old.is_nsfw;
    INSERT INTO persona_spans (user_id, span, is_nsfw, n)
    VALUES (new.user_id, SUBSTR(new.created_at, 1, 9), new.is_nsfw, 1)
    ON CONFLICT (user_id, span, is_nsfw) DO UPDATE SET n = n + 1;
END;
