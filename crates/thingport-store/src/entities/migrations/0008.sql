-- Sessions of devices that outlive their connections. What is in one is in docs/storage-format.md.

CREATE TABLE kept_session (
    device_id BLOB NOT NULL PRIMARY KEY REFERENCES device (id),
    client_id TEXT NOT NULL,
    expiry_s BIGINT NOT NULL,
    -- When its last connection ended; none while there is one.
    left_at BIGINT,
    state BLOB NOT NULL
);
