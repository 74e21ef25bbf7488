-- What each table and column means stands in the doc comment of the table's file in src/store.
-- Times are UTC, in milliseconds since 1970.
--
-- MySQL commits each of these statements on its own, so that each can be run again after a crash between
-- two of them. The collation compares bytes and does not ignore spaces at the end; its name is another
-- on MariaDB (`M!`) than on MySQL.

CREATE TABLE IF NOT EXISTS torrent_metadata (
    id            BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
    infohash      VARBINARY(32)  NOT NULL UNIQUE CHECK (length(infohash) IN (20, 32)),
    infohash_v2   BINARY(32)     UNIQUE,
    name          VARCHAR(1000)  NOT NULL,
    size          BIGINT         NOT NULL CHECK (size >= 0),
    piece_length  BIGINT         NOT NULL CHECK (piece_length >= 0),
    pieces_count  BIGINT         NOT NULL CHECK (pieces_count >= 0),
    files_count   BIGINT         NOT NULL CHECK (files_count >= 0),
    private       BOOLEAN        NOT NULL,
    metadata_size BIGINT         NOT NULL CHECK (metadata_size >= 0),
    trackers      MEDIUMTEXT     NOT NULL,
    source        VARCHAR(200)   NOT NULL,
    arm           VARCHAR(20)    NOT NULL,
    peer          VARCHAR(60),
    discovered_at BIGINT         NOT NULL,
    last_seen_at  BIGINT         NOT NULL,
    resolved_at   BIGINT         NOT NULL,
    info          LONGBLOB       NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

CREATE TABLE IF NOT EXISTS torrent_file (
    torrent_id BIGINT        NOT NULL,
    position   BIGINT        NOT NULL CHECK (position >= 0),
    path       VARCHAR(4000) NOT NULL,
    length     BIGINT        NOT NULL CHECK (length >= 0),
    PRIMARY KEY (torrent_id, position),
    FOREIGN KEY (torrent_id) REFERENCES torrent_metadata (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

CREATE TABLE IF NOT EXISTS metadata_request (
    id            BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    infohash      VARBINARY(32) NOT NULL CHECK (length(infohash) IN (20, 32)),
    peer_ip       VARCHAR(45)   NOT NULL,
    peer_port     INT           NOT NULL CHECK (peer_port BETWEEN 0 AND 65535),
    source        VARCHAR(20)   NOT NULL,
    arm           VARCHAR(20)   NOT NULL,
    started_at    BIGINT        NOT NULL,
    duration_ms   BIGINT        NOT NULL CHECK (duration_ms >= 0),
    phase         VARCHAR(20)   NOT NULL,
    outcome       VARCHAR(40)   NOT NULL,
    detail        VARCHAR(500)  NOT NULL,
    metadata_size BIGINT        CHECK (metadata_size >= 0),
    client        VARCHAR(100),
    -- Who delivered this hash, latest first; and every attempt at it.
    INDEX metadata_request_infohash (infohash, outcome, started_at),
    -- What is old enough to be deleted.
    INDEX metadata_request_started_at (started_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

CREATE TABLE IF NOT EXISTS peer_state (
    peer_ip           VARCHAR(45)  NOT NULL,
    peer_port         INT          NOT NULL CHECK (peer_port BETWEEN 0 AND 65535),
    client            VARCHAR(100),
    first_seen_at     BIGINT       NOT NULL,
    last_seen_at      BIGINT       NOT NULL,
    attempts          BIGINT       NOT NULL CHECK (attempts >= 0),
    connections       BIGINT       NOT NULL CHECK (connections >= 0),
    deliveries        BIGINT       NOT NULL CHECK (deliveries >= 0),
    failures          BIGINT       NOT NULL CHECK (failures >= 0),
    last_outcome      VARCHAR(40)  NOT NULL,
    last_arm          VARCHAR(20)  NOT NULL,
    last_delivered_at BIGINT,
    avg_latency_ms    DOUBLE,
    bep9_support      BOOLEAN,
    needs_encryption  BOOLEAN,
    PRIMARY KEY (peer_ip, peer_port)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

CREATE TABLE IF NOT EXISTS failed_torrent (
    infohash  VARBINARY(32) NOT NULL PRIMARY KEY CHECK (length(infohash) IN (20, 32)),
    reason    VARCHAR(40)   NOT NULL,
    phase     VARCHAR(20)   NOT NULL,
    detail    VARCHAR(500)  NOT NULL,
    failures  BIGINT        NOT NULL CHECK (failures >= 0),
    failed_at BIGINT        NOT NULL,
    retry_at  BIGINT        NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;
