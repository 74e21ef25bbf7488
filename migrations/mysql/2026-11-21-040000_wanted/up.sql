-- Hashes that the service was asked for and has no result of yet, and what it remembers over a restart.
CREATE TABLE IF NOT EXISTS wanted_torrent (
    infohash     VARBINARY(32) NOT NULL PRIMARY KEY CHECK (length(infohash) IN (20, 32)),
    infohash_v2  BINARY(32),
    source       VARCHAR(20)   NOT NULL,
    precedence   INT           NOT NULL,
    trackers     MEDIUMTEXT    NOT NULL,
    peers        MEDIUMTEXT    NOT NULL,
    requested_at BIGINT        NOT NULL,
    -- What of a source is next.
    INDEX wanted_torrent_turn (source, precedence, requested_at, infohash)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

CREATE TABLE IF NOT EXISTS daemon_state (
    name  VARCHAR(100) NOT NULL PRIMARY KEY,
    value MEDIUMTEXT   NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;
