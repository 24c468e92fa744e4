-- The first form. Ids are the 16 bytes of a UUID; `search` is the lower-case text that text search looks
-- in; flags are 0 or 1; moments are milliseconds since 1970.

CREATE TABLE tenant_profile (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    is_default SMALLINT NOT NULL,
    search TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX tenant_profile_name ON tenant_profile (name);
CREATE UNIQUE INDEX tenant_profile_default ON tenant_profile (is_default) WHERE is_default = 1;

CREATE TABLE tenant (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    title TEXT NOT NULL,
    tenant_profile_id BLOB NOT NULL REFERENCES tenant_profile (id),
    email TEXT,
    country TEXT,
    city TEXT,
    search TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX tenant_by_profile ON tenant (tenant_profile_id);

CREATE TABLE customer (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id BLOB NOT NULL REFERENCES tenant (id),
    title TEXT NOT NULL,
    is_public SMALLINT NOT NULL,
    email TEXT,
    country TEXT,
    city TEXT,
    search TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX customer_title ON customer (tenant_id, title);

-- No reference to tenant: system administrators belong to the system tenant, which has no row.
CREATE TABLE person (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id BLOB NOT NULL,
    customer_id BLOB REFERENCES customer (id),
    email TEXT NOT NULL,
    email_lower TEXT NOT NULL,
    authority TEXT NOT NULL,
    first_name TEXT,
    last_name TEXT,
    phone TEXT,
    search TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX person_email ON person (email_lower);
CREATE INDEX person_by_tenant ON person (tenant_id);
CREATE INDEX person_by_customer ON person (customer_id);

CREATE TABLE person_login (
    person_id BLOB NOT NULL PRIMARY KEY REFERENCES person (id),
    document TEXT NOT NULL
);

CREATE TABLE device_profile (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id BLOB NOT NULL REFERENCES tenant (id),
    name TEXT NOT NULL,
    description TEXT,
    transport TEXT NOT NULL,
    is_default SMALLINT NOT NULL,
    provision_key TEXT,
    search TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX device_profile_name ON device_profile (tenant_id, name);
CREATE UNIQUE INDEX device_profile_default ON device_profile (tenant_id) WHERE is_default = 1;
CREATE UNIQUE INDEX device_profile_key ON device_profile (provision_key);

CREATE TABLE device (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id BLOB NOT NULL REFERENCES tenant (id),
    customer_id BLOB REFERENCES customer (id),
    profile_id BLOB NOT NULL REFERENCES device_profile (id),
    name TEXT NOT NULL,
    label TEXT,
    is_gateway SMALLINT NOT NULL,
    search TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX device_name ON device (tenant_id, name);
CREATE INDEX device_by_customer ON device (customer_id);
CREATE INDEX device_by_profile ON device (profile_id);
-- Covers counting, text search and most orders, which would read every document otherwise.
CREATE INDEX device_list ON device
    (tenant_id, id, created_at, customer_id, profile_id, label, search);
-- The order that user interfaces begin with, newest first.
CREATE INDEX device_created ON device (tenant_id, created_at, id);

CREATE TABLE device_credentials (
    id BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    device_id BLOB NOT NULL REFERENCES device (id),
    kind SMALLINT NOT NULL,
    credentials_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX device_credentials_device ON device_credentials (device_id);
CREATE UNIQUE INDEX device_credentials_id ON device_credentials (credentials_id);

CREATE TABLE setting (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- What was deleted here and is not yet purged from the ledger.
CREATE TABLE outbox (
    kind SMALLINT NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (kind, id)
);
