-- Pictures that came along and became no media item go by the trigger, before the tables do.

DELETE FROM import_entries;

DROP TRIGGER import_entries_file_deletion;

DROP TABLE import_entries;

DROP TABLE imports;

DROP TABLE persona_sources;
