DROP TRIGGER personas_text_flags;
DROP TRIGGER personas_text_delete;
DROP TABLE persona_search;
DROP TABLE persona_texts;
DELETE FROM platform_state WHERE name = 'search_folding';
