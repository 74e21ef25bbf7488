-- What the history of peers is made of, the blocklist, trackers, DHT nodes, runs, and batches that
-- were applied. What each table and column means stands in the doc comment of its file in src/store.
--
-- Each ALTER TABLE is all of what one table gets, since MySQL commits it on its own.

-- A torrent may be known before its metadata is: then `info` is empty.
ALTER TABLE torrent_metadata
    ADD COLUMN /*M! IF NOT EXISTS */ validation_status VARCHAR(20) NOT NULL DEFAULT 'valid'
        CHECK (validation_status IN ('pending', 'valid')),
    ADD COLUMN /*M! IF NOT EXISTS */ comment TEXT NOT NULL DEFAULT (''),
    ADD COLUMN /*M! IF NOT EXISTS */ created_by TEXT NOT NULL DEFAULT (''),
    ADD COLUMN /*M! IF NOT EXISTS */ encoding TEXT NOT NULL DEFAULT (''),
    ADD INDEX /*M! IF NOT EXISTS */ torrent_metadata_pending (validation_status, discovered_at),
    ADD INDEX /*M! IF NOT EXISTS */ torrent_metadata_last_seen_at (last_seen_at);

ALTER TABLE metadata_request
    ADD COLUMN /*M! IF NOT EXISTS */ transport VARCHAR(10) NOT NULL DEFAULT 'tcp',
    ADD COLUMN /*M! IF NOT EXISTS */ encrypted BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN /*M! IF NOT EXISTS */ connect_ms BIGINT CHECK (connect_ms >= 0),
    ADD COLUMN /*M! IF NOT EXISTS */ why VARCHAR(200) NOT NULL DEFAULT '';

ALTER TABLE peer_state
    ADD COLUMN /*M! IF NOT EXISTS */ delivered_way VARCHAR(40),
    ADD COLUMN /*M! IF NOT EXISTS */ failures_in_a_row BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ delivered_weight DOUBLE NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ unreachable_weight DOUBLE NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ unserved_weight DOUBLE NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ misbehaved_weight DOUBLE NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ weighed_at BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN /*M! IF NOT EXISTS */ latencies VARBINARY(24) CHECK (length(latencies) = 24),
    ADD COLUMN /*M! IF NOT EXISTS */ bep10_support BOOLEAN;

CREATE TABLE IF NOT EXISTS peer_group (
    kind               VARCHAR(10)   NOT NULL CHECK (kind IN ('client', 'network', 'source', 'way')),
    name               VARCHAR(200)  NOT NULL,
    attempts           BIGINT        NOT NULL CHECK (attempts >= 0),
    connections        BIGINT        NOT NULL CHECK (connections >= 0),
    deliveries         BIGINT        NOT NULL CHECK (deliveries >= 0),
    delivered_weight   DOUBLE        NOT NULL,
    unreachable_weight DOUBLE        NOT NULL,
    unserved_weight    DOUBLE        NOT NULL,
    misbehaved_weight  DOUBLE        NOT NULL,
    weighed_at         BIGINT        NOT NULL,
    latencies          VARBINARY(24) NOT NULL CHECK (length(latencies) = 24),
    connect_times      VARBINARY(24) NOT NULL CHECK (length(connect_times) = 24),
    PRIMARY KEY (kind, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

-- InnoDB's keys end at 3,072 bytes: the URL is kept as its bytes, which are as many as its characters.
CREATE TABLE IF NOT EXISTS tracker_state (
    tracker_url          VARBINARY(3000) NOT NULL PRIMARY KEY,
    first_announce_at    BIGINT NOT NULL,
    last_announce_at     BIGINT NOT NULL,
    last_success_at      BIGINT,
    announces            BIGINT NOT NULL CHECK (announces >= 0),
    successful_announces BIGINT NOT NULL CHECK (successful_announces >= 0),
    failures_in_a_row    BIGINT NOT NULL CHECK (failures_in_a_row >= 0),
    peers_returned       BIGINT NOT NULL CHECK (peers_returned >= 0),
    avg_response_ms      DOUBLE,
    error_message        TEXT   NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

CREATE TABLE IF NOT EXISTS dht_node_state (
    node_ip           VARCHAR(45) NOT NULL,
    node_port         INT         NOT NULL CHECK (node_port BETWEEN 1 AND 65535),
    node_id           BINARY(20)  NOT NULL,
    first_seen_at     BIGINT      NOT NULL,
    last_seen_at      BIGINT      NOT NULL,
    queries           BIGINT      NOT NULL CHECK (queries >= 0),
    answers           BIGINT      NOT NULL CHECK (answers >= 0),
    failures_in_a_row BIGINT      NOT NULL CHECK (failures_in_a_row >= 0),
    avg_rtt_ms        DOUBLE,
    bep51_support     BOOLEAN,
    next_sample_at    BIGINT      NOT NULL,
    PRIMARY KEY (node_ip, node_port),
    INDEX dht_node_state_node_id (node_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

CREATE TABLE IF NOT EXISTS crawl_session (
    session_id      VARCHAR(36)  NOT NULL PRIMARY KEY,
    command         VARCHAR(40)  NOT NULL,
    started_at      BIGINT       NOT NULL,
    ended_at        BIGINT,
    status          VARCHAR(20)  NOT NULL CHECK (status IN ('running', 'completed', 'stopped', 'failed')),
    requested       BIGINT       NOT NULL CHECK (requested >= 0),
    resolved        BIGINT       NOT NULL CHECK (resolved >= 0),
    failed          BIGINT       NOT NULL CHECK (failed >= 0),
    from_store      BIGINT       NOT NULL CHECK (from_store >= 0),
    attempts        BIGINT       NOT NULL CHECK (attempts >= 0),
    peers           BIGINT       NOT NULL CHECK (peers >= 0),
    peak_memory_kib BIGINT,
    INDEX crawl_session_started_at (started_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

ALTER TABLE failed_torrent
    ADD INDEX /*M! IF NOT EXISTS */ failed_torrent_retry_at (retry_at);

CREATE TABLE IF NOT EXISTS blocked_infohash (
    value    VARBINARY(32)  NOT NULL CHECK (length(value) IN (20, 32)),
    salt     VARBINARY(64)  NOT NULL,
    list     VARCHAR(1000)  NOT NULL,
    added_at BIGINT         NOT NULL,
    PRIMARY KEY (value, salt)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

CREATE TABLE IF NOT EXISTS blocked_salt (
    salt VARBINARY(64) NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS import_progress (
    source      VARCHAR(500) NOT NULL,
    table_name  VARCHAR(100) NOT NULL,
    last_id     BIGINT       NOT NULL,
    rows_read   BIGINT       NOT NULL,
    rows_taken  BIGINT       NOT NULL,
    updated_at  BIGINT       NOT NULL,
    PRIMARY KEY (source, table_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

-- Batches of the writer, so that none is applied twice.
CREATE TABLE IF NOT EXISTS applied_batch (
    batch_id   BINARY(16) NOT NULL PRIMARY KEY,
    applied_at BIGINT     NOT NULL,
    INDEX applied_batch_applied_at (applied_at)
) ENGINE = InnoDB;
