-- The index is merged in small steps with each write (search_merge) instead of many at once with some: those held
-- the write lock for 45 ms in a library of a million personas. Eight segments of a size make one of the next: each text
-- is written anew less often than with four, and a search still reads few.

INSERT INTO persona_search (persona_search, rank) VALUES ('automerge', 0);

INSERT INTO persona_search (persona_search, rank) VALUES ('usermerge', 8);
