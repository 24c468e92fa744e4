-- Calls that are kept until they end, and their ends until they are forgotten.

CREATE TABLE rpc (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id BLOB NOT NULL,
    device_id BLOB NOT NULL REFERENCES device (id),
    number BIGINT NOT NULL,
    two_way SMALLINT NOT NULL,
    expires_at BIGINT NOT NULL,
    status SMALLINT NOT NULL,
    is_open SMALLINT NOT NULL,
    misses BIGINT NOT NULL,
    response_kind SMALLINT,
    response TEXT,
    search TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX rpc_by_device ON rpc (device_id, id);
CREATE INDEX rpc_by_age ON rpc (tenant_id, created_at) WHERE is_open = 0;
CREATE INDEX rpc_open ON rpc (created_at, number) WHERE is_open = 1;
