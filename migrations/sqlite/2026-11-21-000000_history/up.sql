-- What the history of peers is made of, the blocklist, trackers, DHT nodes, runs, and batches that
-- were applied. What each table and column means stands in the doc comment of its file in src/store.

-- A torrent may be known before its metadata is: then `info` is empty.
ALTER TABLE torrent_metadata ADD COLUMN validation_status TEXT NOT NULL DEFAULT 'valid'
    CHECK (validation_status IN ('pending', 'valid'));
ALTER TABLE torrent_metadata ADD COLUMN comment TEXT NOT NULL DEFAULT '';
ALTER TABLE torrent_metadata ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE torrent_metadata ADD COLUMN encoding TEXT NOT NULL DEFAULT '';
ALTER TABLE torrent_metadata ADD COLUMN info_deflated INTEGER NOT NULL DEFAULT 0 CHECK (info_deflated IN (0, 1));
CREATE INDEX torrent_metadata_pending ON torrent_metadata (discovered_at)
    WHERE validation_status = 'pending';
CREATE INDEX torrent_metadata_last_seen_at ON torrent_metadata (last_seen_at);

ALTER TABLE metadata_request ADD COLUMN transport TEXT NOT NULL DEFAULT 'tcp';
ALTER TABLE metadata_request ADD COLUMN encrypted INTEGER NOT NULL DEFAULT 0 CHECK (encrypted IN (0, 1));
ALTER TABLE metadata_request ADD COLUMN connect_ms INTEGER CHECK (connect_ms >= 0);
ALTER TABLE metadata_request ADD COLUMN why TEXT NOT NULL DEFAULT '';

ALTER TABLE peer_state ADD COLUMN delivered_way TEXT;
ALTER TABLE peer_state ADD COLUMN failures_in_a_row INTEGER NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN delivered_weight REAL NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN unreachable_weight REAL NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN unserved_weight REAL NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN misbehaved_weight REAL NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN weighed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE peer_state ADD COLUMN latencies BLOB CHECK (length(latencies) = 24);
ALTER TABLE peer_state ADD COLUMN bep10_support INTEGER CHECK (bep10_support IN (0, 1));

CREATE TABLE peer_group (
    kind               TEXT    NOT NULL CHECK (kind IN ('client', 'network', 'source', 'way')),
    name               TEXT    NOT NULL,
    attempts           INTEGER NOT NULL CHECK (attempts >= 0),
    connections        INTEGER NOT NULL CHECK (connections >= 0),
    deliveries         INTEGER NOT NULL CHECK (deliveries >= 0),
    delivered_weight   REAL    NOT NULL,
    unreachable_weight REAL    NOT NULL,
    unserved_weight    REAL    NOT NULL,
    misbehaved_weight  REAL    NOT NULL,
    weighed_at         INTEGER NOT NULL,
    latencies          BLOB    NOT NULL CHECK (length(latencies) = 24),
    connect_times      BLOB    NOT NULL CHECK (length(connect_times) = 24),
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE tracker_state (
    tracker_url          TEXT    NOT NULL PRIMARY KEY,
    first_announce_at    INTEGER NOT NULL,
    last_announce_at     INTEGER NOT NULL,
    last_success_at      INTEGER,
    announces            INTEGER NOT NULL CHECK (announces >= 0),
    successful_announces INTEGER NOT NULL CHECK (successful_announces >= 0),
    failures_in_a_row    INTEGER NOT NULL CHECK (failures_in_a_row >= 0),
    peers_returned       INTEGER NOT NULL CHECK (peers_returned >= 0),
    avg_response_ms      REAL,
    error_message        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dht_node_state (
    node_ip       TEXT    NOT NULL,
    node_port     INTEGER NOT NULL CHECK (node_port BETWEEN 1 AND 65535),
    node_id       BLOB    NOT NULL CHECK (length(node_id) = 20),
    first_seen_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    queries       INTEGER NOT NULL CHECK (queries >= 0),
    answers       INTEGER NOT NULL CHECK (answers >= 0),
    failures_in_a_row INTEGER NOT NULL CHECK (failures_in_a_row >= 0),
    avg_rtt_ms    REAL,
    bep51_support INTEGER CHECK (bep51_support IN (0, 1)),
    next_sample_at INTEGER NOT NULL,
    PRIMARY KEY (node_ip, node_port)
) STRICT, WITHOUT ROWID;
CREATE INDEX dht_node_state_node_id ON dht_node_state (node_id);

CREATE TABLE crawl_session (
    session_id   TEXT    NOT NULL PRIMARY KEY,
    command      TEXT    NOT NULL,
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    status       TEXT    NOT NULL CHECK (status IN ('running', 'completed', 'stopped', 'failed')),
    requested    INTEGER NOT NULL CHECK (requested >= 0),
    resolved     INTEGER NOT NULL CHECK (resolved >= 0),
    failed       INTEGER NOT NULL CHECK (failed >= 0),
    from_store   INTEGER NOT NULL CHECK (from_store >= 0),
    attempts     INTEGER NOT NULL CHECK (attempts >= 0),
    peers        INTEGER NOT NULL CHECK (peers >= 0),
    peak_memory_kib INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX crawl_session_started_at ON crawl_session (started_at);

CREATE INDEX failed_torrent_retry_at ON failed_torrent (retry_at);

CREATE TABLE blocked_infohash (
    value    BLOB    NOT NULL CHECK (length(value) IN (20, 32)),
    salt     BLOB    NOT NULL,
    list     TEXT    NOT NULL,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (value, salt)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocked_salt (
    salt BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE import_progress (
    source      TEXT    NOT NULL,
    table_name  TEXT    NOT NULL,
    last_id     INTEGER NOT NULL,
    rows_read   INTEGER NOT NULL,
    rows_taken  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (source, table_name)
) STRICT, WITHOUT ROWID;

-- Batches of the writer, so that none is applied twice.
CREATE TABLE applied_batch (
    batch_id   BLOB    NOT NULL PRIMARY KEY CHECK (length(batch_id) = 16),
    applied_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX applied_batch_applied_at ON applied_batch (applied_at);
