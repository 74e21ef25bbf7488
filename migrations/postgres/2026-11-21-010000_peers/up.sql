-- The best and the worst peers are looked for among those that delivered last, and those that failed
-- most often in a row. Both indexes leave out most peers.
CREATE INDEX peer_state_last_delivered_at ON peer_state (last_delivered_at)
    WHERE last_delivered_at IS NOT NULL;
CREATE INDEX peer_state_failures_in_a_row ON peer_state (failures_in_a_row)
    WHERE failures_in_a_row >= 3;
