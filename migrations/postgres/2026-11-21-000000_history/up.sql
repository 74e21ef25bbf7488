-- What the history of peers is made of, the blocklist, trackers, DHT nodes, runs, and batches that
-- were applied. What each table and column means stands in the doc comment of its file in src/store.

-- A torrent may be known before its metadata is: then `info` is empty.
ALTER TABLE torrent_metadata ADD COLUMN validation_status TEXT NOT NULL DEFAULT 'valid'
    CHECK (validation_status IN ('pending', 'valid'));
ALTER TABLE torrent_metadata ADD COLUMN comment TEXT NOT NULL DEFAULT '';
ALTER TABLE torrent_metadata ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE torrent_metadata ADD COLUMN encoding TEXT NOT NULL DEFAULT '';
CREATE INDEX torrent_metadata_pending ON torrent_metadata (discovered_at)
    WHERE validation_status = 'pending';
CREATE INDEX torrent_metadata_last_seen_at ON torrent_metadata (last_seen_at);

ALTER TABLE metadata_request ADD COLUMN transport TEXT NOT NULL DEFAULT 'tcp';
ALTER TABLE metadata_request ADD COLUMN encrypted BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE metadata_request ADD COLUMN connect_ms BIGINT CHECK (connect_ms >= 0);
ALTER TABLE metadata_request ADD COLUMN why TEXT NOT NULL DEFAULT '';

ALTER TABLE peer_state ADD COLUMN delivered_way TEXT;
ALTER TABLE peer_state ADD COLUMN failures_in_a_row BIGINT NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN delivered_weight DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN unreachable_weight DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN unserved_weight DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN misbehaved_weight DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN weighed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN latencies BYTEA CHECK (length(latencies) = 24);
ALTER TABLE peer_state ADD COLUMN bep10_support BOOLEAN;

CREATE TABLE peer_group (
    kind               TEXT    NOT NULL CHECK (kind IN ('client', 'network', 'source', 'way')),
    name               TEXT    NOT NULL,
    attempts           BIGINT NOT NULL CHECK (attempts >= 0),
    connections        BIGINT NOT NULL CHECK (connections >= 0),
    deliveries         BIGINT NOT NULL CHECK (deliveries >= 0),
    delivered_weight   DOUBLE PRECISION    NOT NULL,
    unreachable_weight DOUBLE PRECISION    NOT NULL,
    unserved_weight    DOUBLE PRECISION    NOT NULL,
    misbehaved_weight  DOUBLE PRECISION    NOT NULL,
    weighed_at         BIGINT NOT NULL,
    latencies          BYTEA    NOT NULL CHECK (length(latencies) = 24),
    connect_times      BYTEA    NOT NULL CHECK (length(connect_times) = 24),
    PRIMARY KEY (kind, name)
);

CREATE TABLE tracker_state (
    tracker_url          TEXT    NOT NULL PRIMARY KEY,
    first_announce_at    BIGINT NOT NULL,
    last_announce_at     BIGINT NOT NULL,
    last_success_at      BIGINT,
    announces            BIGINT NOT NULL CHECK (announces >= 0),
    successful_announces BIGINT NOT NULL CHECK (successful_announces >= 0),
    failures_in_a_row    BIGINT NOT NULL CHECK (failures_in_a_row >= 0),
    peers_returned       BIGINT NOT NULL CHECK (peers_returned >= 0),
    avg_response_ms      DOUBLE PRECISION,
    error_message        TEXT    NOT NULL
);

CREATE TABLE dht_node_state (
    node_ip       TEXT    NOT NULL,
    node_port     INTEGER NOT NULL CHECK (node_port BETWEEN 1 AND 65535),
    node_id       BYTEA    NOT NULL CHECK (length(node_id) = 20),
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    queries       BIGINT NOT NULL CHECK (queries >= 0),
    answers       BIGINT NOT NULL CHECK (answers >= 0),
    failures_in_a_row BIGINT NOT NULL CHECK (failures_in_a_row >= 0),
    avg_rtt_ms    DOUBLE PRECISION,
    bep51_support BOOLEAN,
    next_sample_at BIGINT NOT NULL,
    PRIMARY KEY (node_ip, node_port)
);
CREATE INDEX dht_node_state_node_id ON dht_node_state (node_id);

CREATE TABLE crawl_session (
    session_id   TEXT    NOT NULL PRIMARY KEY,
    command      TEXT    NOT NULL,
    started_at   BIGINT NOT NULL,
    ended_at     BIGINT,
    status       TEXT    NOT NULL CHECK (status IN ('running', 'completed', 'stopped', 'failed')),
    requested    BIGINT NOT NULL CHECK (requested >= 0),
    resolved     BIGINT NOT NULL CHECK (resolved >= 0),
    failed       BIGINT NOT NULL CHECK (failed >= 0),
    from_store   BIGINT NOT NULL CHECK (from_store >= 0),
    attempts     BIGINT NOT NULL CHECK (attempts >= 0),
    peers        BIGINT NOT NULL CHECK (peers >= 0),
    peak_memory_kib BIGINT 
);
CREATE INDEX crawl_session_started_at ON crawl_session (started_at);

CREATE INDEX failed_torrent_retry_at ON failed_torrent (retry_at);

CREATE TABLE blocked_infohash (
    value    BYTEA    NOT NULL CHECK (length(value) IN (20, 32)),
    salt     BYTEA    NOT NULL,
    list     TEXT    NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (value, salt)
);

CREATE TABLE blocked_salt (
    salt BYTEA NOT NULL PRIMARY KEY
);

CREATE TABLE import_progress (
    source      TEXT    NOT NULL,
    table_name  TEXT    NOT NULL,
    last_id     BIGINT NOT NULL,
    rows_read   BIGINT NOT NULL,
    rows_taken  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (source, table_name)
);

-- Batches of the writer, so that none is applied twice.
CREATE TABLE applied_batch (
    batch_id   BYTEA    NOT NULL PRIMARY KEY CHECK (length(batch_id) = 16),
    applied_at BIGINT NOT NULL
);
CREATE INDEX applied_batch_applied_at ON applied_batch (applied_at);
