-- Every run looks for those whose process was killed, every ten seconds.
ALTER TABLE crawl_session ADD INDEX /*M! IF NOT EXISTS */ crawl_session_status (status, heartbeat_at);
