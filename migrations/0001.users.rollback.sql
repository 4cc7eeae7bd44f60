DROP TABLE platform_state;
DROP TABLE users;
