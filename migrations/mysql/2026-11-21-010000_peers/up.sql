-- The best and the worst peers are looked for among those that delivered last, and those that failed
-- most often in a row.
ALTER TABLE peer_state
    ADD INDEX /*M! IF NOT EXISTS */ peer_state_last_delivered_at (last_delivered_at),
    ADD INDEX /*M! IF NOT EXISTS */ peer_state_failures_in_a_row (failures_in_a_row);
