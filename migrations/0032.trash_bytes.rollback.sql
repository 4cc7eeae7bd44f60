DROP INDEX trash_bytes;
