DROP TRIGGER media_count_owner ON media_items;

DROP TRIGGER media_owner ON media_items;

DROP FUNCTION move_media;

DROP TRIGGER personas_count_owner ON personas;

DROP TRIGGER personas_owner ON personas;

DROP FUNCTION move_persona;

DROP TABLE hand_overs;

DROP TABLE invitations;
