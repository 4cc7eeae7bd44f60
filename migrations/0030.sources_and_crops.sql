-- Pictures are not made by jobs alone, and an avatar can be a part of one.
-- source: where a picture comes from. avatar_crop: the square of the picture that is shown, in its pixels, as `x-y-size`.

ALTER TABLE media_items ADD COLUMN source TEXT NOT NULL DEFAULT 'job'
CONSTRAINT media_source CHECK (source IN ('job', 'upload', 'import'));

ALTER TABLE personas ADD COLUMN avatar_crop TEXT CONSTRAINT personas_avatar_crop CHECK (avatar_crop LIKE '%-%-%');
