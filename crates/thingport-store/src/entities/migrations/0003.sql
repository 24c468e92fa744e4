-- Profiles are found by the name of their CA, certificates of devices by the end of their period.

ALTER TABLE device_profile ADD COLUMN ca_name TEXT;
CREATE INDEX device_profile_ca_name ON device_profile (ca_name) WHERE ca_name IS NOT NULL;

ALTER TABLE device_credentials ADD COLUMN expires_at BIGINT;
CREATE INDEX device_credentials_expiry ON device_credentials (expires_at) WHERE expires_at IS NOT NULL;
