DROP TABLE persona_counts;
DROP TABLE persona_tags;
DROP TABLE personas;
