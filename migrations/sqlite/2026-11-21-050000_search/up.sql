-- What torrents are searched by. Rows for the torrents that are there already are made bit by bit, later.
CREATE TABLE torrent_search (
    torrent_id   INTEGER NOT NULL PRIMARY KEY REFERENCES torrent_metadata (id) ON DELETE CASCADE,
    content_type TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    files_count  INTEGER NOT NULL,
    private      INTEGER NOT NULL CHECK (private IN (0, 1)),
    resolved_at  INTEGER NOT NULL,
    name_key     TEXT    NOT NULL
) STRICT;
CREATE INDEX torrent_search_resolved_at ON torrent_search (resolved_at);
CREATE INDEX torrent_search_size ON torrent_search (size);
CREATE INDEX torrent_search_name_key ON torrent_search (name_key);

-- Which torrents have which word: no text and no positions, so that it is small.
CREATE VIRTUAL TABLE torrent_terms USING fts5 (
    terms, content = '', contentless_delete = 1, detail = none, tokenize = "ascii tokenchars '_'"
);
CREATE TRIGGER torrent_search_deleted AFTER DELETE ON torrent_search BEGIN
    DELETE FROM torrent_terms WHERE rowid = OLD.torrent_id;
END;

INSERT INTO import_progress (source, table_name, last_id, rows_read, rows_taken, updated_at)
    SELECT 'torrent_metadata', 'torrent_search', 0, 0, 0, 0 WHERE EXISTS (SELECT 1 FROM torrent_metadata);
