DROP TABLE file_deletions;
DROP TABLE media_counts;
DROP TABLE media_tags;
DROP TABLE media_items;
