INSERT INTO persona_search (persona_search, rank) VALUES ('automerge', 4);
INSERT INTO persona_search (persona_search, rank) VALUES ('usermerge', 4);
