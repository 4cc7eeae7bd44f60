-- What lies in the trash counts to the bytes that an account may have, summed along this index alone.
CREATE INDEX trash_bytes ON trash (user_id, bytes) WHERE bytes > 0;
