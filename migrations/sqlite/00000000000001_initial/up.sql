-- What each table and column means stands in the doc comment of the table's file in src/store.
-- Times are UTC, in milliseconds since 1970.

CREATE TABLE torrent_metadata (
    id            INTEGER PRIMARY KEY,
    infohash      BLOB    NOT NULL UNIQUE CHECK (length(infohash) IN (20, 32)),
    infohash_v2   BLOB    UNIQUE CHECK (length(infohash_v2) = 32),
    name          TEXT    NOT NULL,
    size          INTEGER NOT NULL CHECK (size >= 0),
    piece_length  INTEGER NOT NULL CHECK (piece_length >= 0),
    pieces_count  INTEGER NOT NULL CHECK (pieces_count >= 0),
    files_count   INTEGER NOT NULL CHECK (files_count >= 0),
    private       INTEGER NOT NULL CHECK (private IN (0, 1)),
    metadata_size INTEGER NOT NULL CHECK (metadata_size >= 0),
    trackers      TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    arm           TEXT    NOT NULL,
    peer          TEXT,
    discovered_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    resolved_at   INTEGER NOT NULL,
    -- The last column: SQLite reads a row from its start, and these are many pages.
    info          BLOB    NOT NULL
) STRICT;

CREATE TABLE torrent_file (
    torrent_id INTEGER NOT NULL REFERENCES torrent_metadata (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL CHECK (position >= 0),
    path       TEXT    NOT NULL,
    length     INTEGER NOT NULL CHECK (length >= 0),
    PRIMARY KEY (torrent_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata_request (
    id            INTEGER PRIMARY KEY,
    infohash      BLOB    NOT NULL CHECK (length(infohash) IN (20, 32)),
    peer_ip       TEXT    NOT NULL,
    peer_port     INTEGER NOT NULL CHECK (peer_port BETWEEN 0 AND 65535),
    source        TEXT    NOT NULL,
    arm           TEXT    NOT NULL,
    started_at    INTEGER NOT NULL,
    duration_ms   INTEGER NOT NULL CHECK (duration_ms >= 0),
    phase         TEXT    NOT NULL,
    outcome       TEXT    NOT NULL,
    detail        TEXT    NOT NULL,
    metadata_size INTEGER CHECK (metadata_size >= 0),
    client        TEXT
) STRICT;

-- Who delivered this hash, latest first; and every attempt at it.
CREATE INDEX metadata_request_infohash ON metadata_request (infohash, outcome, started_at);
-- What is old enough to be deleted.
CREATE INDEX metadata_request_started_at ON metadata_request (started_at);

CREATE TABLE peer_state (
    peer_ip           TEXT    NOT NULL,
    peer_port         INTEGER NOT NULL CHECK (peer_port BETWEEN 0 AND 65535),
    client            TEXT,
    first_seen_at     INTEGER NOT NULL,
    last_seen_at      INTEGER NOT NULL,
    attempts          INTEGER NOT NULL CHECK (attempts >= 0),
    connections       INTEGER NOT NULL CHECK (connections >= 0),
    deliveries        INTEGER NOT NULL CHECK (deliveries >= 0),
    failures          INTEGER NOT NULL CHECK (failures >= 0),
    last_outcome      TEXT    NOT NULL,
    last_arm          TEXT    NOT NULL,
    last_delivered_at INTEGER,
    avg_latency_ms    REAL,
    bep9_support      INTEGER CHECK (bep9_support IN (0, 1)),
    needs_encryption  INTEGER CHECK (needs_encryption IN (0, 1)),
    PRIMARY KEY (peer_ip, peer_port)
) STRICT, WITHOUT ROWID;

CREATE TABLE failed_torrent (
    infohash  BLOB    NOT NULL PRIMARY KEY CHECK (length(infohash) IN (20, 32)),
    reason    TEXT    NOT NULL,
    phase     TEXT    NOT NULL,
    detail    TEXT    NOT NULL,
    failures  INTEGER NOT NULL CHECK (failures >= 0),
    failed_at INTEGER NOT NULL,
    retry_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
