-- What torrents are searched by. Rows for the torrents that are there already are made bit by bit, later.
CREATE TABLE IF NOT EXISTS torrent_search (
    torrent_id   BIGINT      NOT NULL PRIMARY KEY,
    content_type VARCHAR(20) NOT NULL,
    size         BIGINT      NOT NULL,
    files_count  BIGINT      NOT NULL,
    private      BOOLEAN     NOT NULL,
    resolved_at  BIGINT      NOT NULL,
    name_key     VARCHAR(60) NOT NULL,
    -- Which words the torrent has, in letters and digits that no server takes for anything else.
    terms        MEDIUMTEXT  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    INDEX torrent_search_resolved_at (resolved_at),
    INDEX torrent_search_size (size),
    INDEX torrent_search_name_key (name_key),
    FULLTEXT INDEX torrent_search_terms (terms),
    FOREIGN KEY (torrent_id) REFERENCES torrent_metadata (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE /*M!100600 utf8mb4_nopad_bin */ /*!80018 utf8mb4_0900_bin */;

INSERT IGNORE INTO import_progress (source, table_name, last_id, rows_read, rows_taken, updated_at)
    SELECT 'torrent_metadata', 'torrent_search', 0, 0, 0, 0 FROM torrent_metadata LIMIT 1;
