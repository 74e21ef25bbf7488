-- What torrents are searched by. Rows for the torrents that are there already are made bit by bit, later.
CREATE TABLE torrent_search (
    torrent_id   BIGINT   NOT NULL PRIMARY KEY REFERENCES torrent_metadata (id) ON DELETE CASCADE,
    content_type TEXT     NOT NULL,
    size         BIGINT   NOT NULL,
    files_count  BIGINT   NOT NULL,
    private      BOOLEAN  NOT NULL,
    resolved_at  BIGINT   NOT NULL,
    name_key     TEXT     COLLATE "C" NOT NULL,
    -- Which words the torrent has.
    terms        TSVECTOR NOT NULL
);
CREATE INDEX torrent_search_resolved_at ON torrent_search (resolved_at, torrent_id);
CREATE INDEX torrent_search_size ON torrent_search (size, torrent_id);
CREATE INDEX torrent_search_name_key ON torrent_search (name_key, torrent_id);
CREATE INDEX torrent_search_terms ON torrent_search USING gin (terms);

INSERT INTO import_progress (source, table_name, last_id, rows_read, rows_taken, updated_at)
    SELECT 'torrent_metadata', 'torrent_search', 0, 0, 0, 0 WHERE EXISTS (SELECT 1 FROM torrent_metadata);
