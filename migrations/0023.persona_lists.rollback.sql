DROP INDEX media_cover;

-- What the version before writes is made anew on the way up.
DELETE FROM platform_state WHERE name IN ('personas_folding', 'jobs_folding', 'media_folding');
