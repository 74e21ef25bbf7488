DROP TABLE failed_torrent;
DROP TABLE peer_state;
DROP TABLE metadata_request;
DROP TABLE torrent_file;
DROP TABLE torrent_metadata;
