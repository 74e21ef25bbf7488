-- Hashes that the service was asked for and has no result of yet, and what it remembers over a restart.
CREATE TABLE wanted_torrent (
    infohash     BLOB    NOT NULL PRIMARY KEY CHECK (length(infohash) IN (20, 32)),
    infohash_v2  BLOB    CHECK (length(infohash_v2) = 32),
    source       TEXT    NOT NULL,
    precedence   INTEGER NOT NULL,
    trackers     TEXT    NOT NULL,
    peers        TEXT    NOT NULL,
    requested_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- What of a source is next.
CREATE INDEX wanted_torrent_turn ON wanted_torrent (source, precedence, requested_at, infohash);

CREATE TABLE daemon_state (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
