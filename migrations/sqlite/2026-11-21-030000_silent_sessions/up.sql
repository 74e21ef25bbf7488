-- Every run looks for those whose process was killed, every ten seconds.
CREATE INDEX crawl_session_status ON crawl_session (status, heartbeat_at);
