-- What a crawl counts beside what every run does, and a sign of life, by which a run is found whose process
-- was killed.
ALTER TABLE crawl_session
    ADD COLUMN /*M! IF NOT EXISTS */ heartbeat_at BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ nodes BIGINT NOT NULL DEFAULT 0 CHECK (nodes >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ queries BIGINT NOT NULL DEFAULT 0 CHECK (queries >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ answers BIGINT NOT NULL DEFAULT 0 CHECK (answers >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ samples BIGINT NOT NULL DEFAULT 0 CHECK (samples >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ discovered BIGINT NOT NULL DEFAULT 0 CHECK (discovered >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ lookups BIGINT NOT NULL DEFAULT 0 CHECK (lookups >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ peak_queries_per_minute BIGINT NOT NULL DEFAULT 0
        CHECK (peak_queries_per_minute >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ peak_resolved_per_minute BIGINT NOT NULL DEFAULT 0
        CHECK (peak_resolved_per_minute >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ cpu_ms BIGINT,
    ADD COLUMN /*M! IF NOT EXISTS */ errors BIGINT NOT NULL DEFAULT 0 CHECK (errors >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ error_message VARCHAR(500) NOT NULL DEFAULT '';

-- The nodes that were not seen for longest go when there are too many.
ALTER TABLE dht_node_state
    ADD INDEX /*M! IF NOT EXISTS */ dht_node_state_last_seen_at (last_seen_at);
