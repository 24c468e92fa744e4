-- Which devices report: 0 new, 1 active, 2 inactive. The first index finds those that may fall silent; the
-- second counts and lists a tenant's active ones.

ALTER TABLE device ADD COLUMN activity SMALLINT NOT NULL DEFAULT 0;
CREATE INDEX device_watched ON device (id) WHERE activity < 2;
CREATE INDEX device_by_activity ON device (tenant_id, activity, id, customer_id, profile_id);
