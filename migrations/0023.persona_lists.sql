-- What the application derives of texts has one mark a table in platform_state: personas_folding, jobs_folding,
-- media_folding. Where one is missing, the next start makes that table's anew (here: names sort by their numbers).
-- The newest picture of a persona that may be shown, its cover, is one look at an index.

DELETE FROM platform_state WHERE name = 'search_folding';

CREATE INDEX media_cover ON media_items (persona_id, is_nsfw, created_at DESC, id DESC);
