DROP TRIGGER media_owner;

DROP TRIGGER personas_owner;

DROP TABLE hand_overs;

DROP TABLE invitations;
