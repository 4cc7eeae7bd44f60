DROP TRIGGER personas_span_insert;
DROP TRIGGER personas_span_delete;
DROP TRIGGER personas_span_update;
DROP TABLE persona_spans;
