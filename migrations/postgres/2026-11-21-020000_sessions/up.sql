-- What a crawl counts beside what every run does, and a sign of life, by which a run is found whose process
-- was killed.
ALTER TABLE crawl_session ADD COLUMN heartbeat_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE crawl_session ADD COLUMN nodes BIGINT NOT NULL DEFAULT 0 CHECK (nodes >= 0);
ALTER TABLE crawl_session ADD COLUMN queries BIGINT NOT NULL DEFAULT 0 CHECK (queries >= 0);
ALTER TABLE crawl_session ADD COLUMN answers BIGINT NOT NULL DEFAULT 0 CHECK (answers >= 0);
ALTER TABLE crawl_session ADD COLUMN samples BIGINT NOT NULL DEFAULT 0 CHECK (samples >= 0);
ALTER TABLE crawl_session ADD COLUMN discovered BIGINT NOT NULL DEFAULT 0 CHECK (discovered >= 0);
ALTER TABLE crawl_session ADD COLUMN lookups BIGINT NOT NULL DEFAULT 0 CHECK (lookups >= 0);
ALTER TABLE crawl_session ADD COLUMN peak_queries_per_minute BIGINT NOT NULL DEFAULT 0
    CHECK (peak_queries_per_minute >= 0);
ALTER TABLE crawl_session ADD COLUMN peak_resolved_per_minute BIGINT NOT NULL DEFAULT 0
    CHECK (peak_resolved_per_minute >= 0);
ALTER TABLE crawl_session ADD COLUMN cpu_ms BIGINT;
ALTER TABLE crawl_session ADD COLUMN errors BIGINT NOT NULL DEFAULT 0 CHECK (errors >= 0);
ALTER TABLE crawl_session ADD COLUMN error_message TEXT NOT NULL DEFAULT '';

-- The nodes that were not seen for longest go when there are too many.
CREATE INDEX dht_node_state_last_seen_at ON dht_node_state (last_seen_at);
