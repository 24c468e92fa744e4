-- Which entity relates to which other. The kinds of both ends and the group are numbers of the program; that both
-- ends exist is asked within each write, since they may be of any kind.

CREATE TABLE relation (
    from_id BLOB NOT NULL,
    from_kind SMALLINT NOT NULL,
    type_group SMALLINT NOT NULL,
    name TEXT NOT NULL,
    to_kind SMALLINT NOT NULL,
    to_id BLOB NOT NULL,
    tenant_id BLOB NOT NULL REFERENCES tenant (id),
    additional_info TEXT,
    version BIGINT NOT NULL,
    PRIMARY KEY (from_id, from_kind, type_group, name, to_kind, to_id)
);
CREATE INDEX relation_by_to ON relation (to_id, to_kind, type_group, name);
CREATE INDEX relation_by_tenant ON relation (tenant_id);
