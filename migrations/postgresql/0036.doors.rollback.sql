DROP TRIGGER media_owner ON media_items;

DROP TRIGGER media_count_owner ON media_items;

DROP TRIGGER personas_owner ON personas;

DROP TRIGGER personas_count_owner ON personas;

DROP FUNCTION follow_media_owner();

DROP FUNCTION follow_persona_owner();

DROP TABLE hand_overs;

DROP TABLE invitations;
