"""PostgreSQL, by psycopg: what only those import who have it."""
