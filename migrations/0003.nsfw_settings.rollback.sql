DROP VIEW nsfw_viewers;
DROP TABLE nsfw_settings;
