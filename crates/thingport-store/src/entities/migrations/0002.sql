-- Credentials of programs, what people's own pages remember, sessions that ended before their tokens.

CREATE TABLE api_key (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id BLOB NOT NULL,
    person_id BLOB NOT NULL REFERENCES person (id),
    description TEXT NOT NULL,
    enabled SMALLINT NOT NULL,
    expires_at BIGINT,
    hash BLOB NOT NULL,
    search TEXT NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_key_hash ON api_key (hash);
CREATE INDEX api_key_by_person ON api_key (person_id, id);

CREATE TABLE person_settings (
    person_id BLOB NOT NULL PRIMARY KEY REFERENCES person (id),
    value TEXT NOT NULL
);

CREATE TABLE ended_session (
    id BLOB NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX ended_session_expiry ON ended_session (expires_at);
