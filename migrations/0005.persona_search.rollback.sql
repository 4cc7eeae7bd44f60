DROP TRIGGER personas_search_update;
DROP TRIGGER personas_search_delete;
DROP TRIGGER personas_search_insert;
DROP TABLE persona_search;
DROP VIEW persona_search_source;
