-- Packages, who was given them, and devices that are still to be told.

CREATE TABLE package (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id BLOB NOT NULL REFERENCES tenant (id),
    profile_id BLOB NOT NULL REFERENCES device_profile (id),
    kind SMALLINT NOT NULL,
    title TEXT NOT NULL,
    package_version TEXT NOT NULL,
    tag TEXT,
    -- The data that are kept here; an address alone, or nothing yet, where it is missing.
    file_id BLOB,
    data_size BIGINT,
    is_ready SMALLINT NOT NULL,
    search TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX package_name ON package (tenant_id, kind, title, package_version);
CREATE INDEX package_by_profile ON package (profile_id, kind);

ALTER TABLE device ADD COLUMN firmware_id BLOB REFERENCES package (id);
ALTER TABLE device ADD COLUMN software_id BLOB REFERENCES package (id);
CREATE INDEX device_by_firmware ON device (firmware_id) WHERE firmware_id IS NOT NULL;
CREATE INDEX device_by_software ON device (software_id) WHERE software_id IS NOT NULL;

ALTER TABLE device_profile ADD COLUMN firmware_id BLOB REFERENCES package (id);
ALTER TABLE device_profile ADD COLUMN software_id BLOB REFERENCES package (id);
CREATE INDEX device_profile_by_firmware ON device_profile (firmware_id) WHERE firmware_id IS NOT NULL;
CREATE INDEX device_profile_by_software ON device_profile (software_id) WHERE software_id IS NOT NULL;

CREATE TABLE announcement (
    device_id BLOB NOT NULL REFERENCES device (id),
    kind SMALLINT NOT NULL,
    stage SMALLINT NOT NULL,
    turn BLOB NOT NULL,
    PRIMARY KEY (device_id, kind)
);
CREATE INDEX announcement_by_turn ON announcement (turn, device_id);
