//! The tables as diesel sees them. Column types are those that SQLite, MySQL and PostgreSQL share;
//! what the columns mean stands in the file of each table.

/// The names of all tables, but for the one of the migrations.
pub(super) const TABLES: [&str; 16] = [
    "torrent_metadata",
    "torrent_file",
    "metadata_request",
    "peer_state",
    "failed_torrent",
    "peer_group",
    "tracker_state",
    "dht_node_state",
    "crawl_session",
    "blocked_infohash",
    "blocked_salt",
    "import_progress",
    "applied_batch",
    "wanted_torrent",
    "daemon_state",
    "torrent_search",
];

diesel::table! {
    torrent_metadata (id) {
        id -> BigInt,
        infohash -> Binary,
        infohash_v2 -> Nullable<Binary>,
        name -> Text,
        size -> BigInt,
        piece_length -> BigInt,
        pieces_count -> BigInt,
        files_count -> BigInt,
        private -> Bool,
        metadata_size -> BigInt,
        trackers -> Text,
        source -> Text,
        arm -> Text,
        peer -> Nullable<Text>,
        discovered_at -> BigInt,
        last_seen_at -> BigInt,
        resolved_at -> BigInt,
        info -> Binary,
        validation_status -> Text,
        comment -> Text,
        created_by -> Text,
        encoding -> Text,
        info_deflated -> Bool,
    }
}

diesel::table! {
    torrent_file (torrent_id, position) {
        torrent_id -> BigInt,
        position -> BigInt,
        path -> Text,
        length -> BigInt,
    }
}

diesel::table! {
    metadata_request (id) {
        id -> BigInt,
        infohash -> Binary,
        peer_ip -> Text,
        peer_port -> Integer,
        source -> Text,
        arm -> Text,
        started_at -> BigInt,
        duration_ms -> BigInt,
        phase -> Text,
        outcome -> Text,
        detail -> Text,
        metadata_size -> Nullable<BigInt>,
        client -> Nullable<Text>,
        transport -> Text,
        encrypted -> Bool,
        connect_ms -> Nullable<BigInt>,
        why -> Text,
    }
}

diesel::table! {
    peer_state (peer_ip, peer_port) {
        peer_ip -> Text,
        peer_port -> Integer,
        client -> Nullable<Text>,
        first_seen_at -> BigInt,
        last_seen_at -> BigInt,
        attempts -> BigInt,
        connections -> BigInt,
        deliveries -> BigInt,
        failures -> BigInt,
        last_outcome -> Text,
        last_arm -> Text,
        last_delivered_at -> Nullable<BigInt>,
        avg_latency_ms -> Nullable<Double>,
        bep9_support -> Nullable<Bool>,
        needs_encryption -> Nullable<Bool>,
        delivered_way -> Nullable<Text>,
        failures_in_a_row -> BigInt,
        delivered_weight -> Double,
        unreachable_weight -> Double,
        unserved_weight -> Double,
        misbehaved_weight -> Double,
        weighed_at -> BigInt,
        latencies -> Nullable<Binary>,
        bep10_support -> Nullable<Bool>,
    }
}

diesel::table! {
    failed_torrent (infohash) {
        infohash -> Binary,
        reason -> Text,
        phase -> Text,
        detail -> Text,
        failures -> BigInt,
        failed_at -> BigInt,
        retry_at -> BigInt,
    }
}

diesel::table! {
    peer_group (kind, name) {
        kind -> Text,
        name -> Text,
        attempts -> BigInt,
        connections -> BigInt,
        deliveries -> BigInt,
        delivered_weight -> Double,
        unreachable_weight -> Double,
        unserved_weight -> Double,
        misbehaved_weight -> Double,
        weighed_at -> BigInt,
        latencies -> Binary,
        connect_times -> Binary,
    }
}

diesel::table! {
    tracker_state (tracker_url) {
        tracker_url -> Text,
        first_announce_at -> BigInt,
        last_announce_at -> BigInt,
        last_success_at -> Nullable<BigInt>,
        announces -> BigInt,
        successful_announces -> BigInt,
        failures_in_a_row -> BigInt,
        peers_returned -> BigInt,
        avg_response_ms -> Nullable<Double>,
        error_message -> Text,
    }
}

diesel::table! {
    dht_node_state (node_ip, node_port) {
        node_ip -> Text,
        node_port -> Integer,
        node_id -> Binary,
        first_seen_at -> BigInt,
        last_seen_at -> BigInt,
        queries -> BigInt,
        answers -> BigInt,
        failures_in_a_row -> BigInt,
        avg_rtt_ms -> Nullable<Double>,
        bep51_support -> Nullable<Bool>,
        next_sample_at -> BigInt,
    }
}

diesel::table! {
    crawl_session (session_id) {
        session_id -> Text,
        command -> Text,
        started_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        status -> Text,
        requested -> BigInt,
        resolved -> BigInt,
        failed -> BigInt,
        from_store -> BigInt,
        attempts -> BigInt,
        peers -> BigInt,
        peak_memory_kib -> Nullable<BigInt>,
        heartbeat_at -> BigInt,
        nodes -> BigInt,
        queries -> BigInt,
        answers -> BigInt,
        samples -> BigInt,
        discovered -> BigInt,
        lookups -> BigInt,
        peak_queries_per_minute -> BigInt,
        peak_resolved_per_minute -> BigInt,
        cpu_ms -> Nullable<BigInt>,
        errors -> BigInt,
        error_message -> Text,
    }
}

diesel::table! {
    blocked_infohash (value, salt) {
        value -> Binary,
        salt -> Binary,
        list -> Text,
        added_at -> BigInt,
    }
}

diesel::table! {
    blocked_salt (salt) {
        salt -> Binary,
    }
}

diesel::table! {
    import_progress (source, table_name) {
        source -> Text,
        table_name -> Text,
        last_id -> BigInt,
        rows_read -> BigInt,
        rows_taken -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    applied_batch (batch_id) {
        batch_id -> Binary,
        applied_at -> BigInt,
    }
}

diesel::table! {
    wanted_torrent (infohash) {
        infohash -> Binary,
        infohash_v2 -> Nullable<Binary>,
        source -> Text,
        precedence -> Integer,
        trackers -> Text,
        peers -> Text,
        requested_at -> BigInt,
    }
}

diesel::table! {
    daemon_state (name) {
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    /// Without `terms`, which is of another type on each database.
    torrent_search (torrent_id) {
        torrent_id -> BigInt,
        content_type -> Text,
        size -> BigInt,
        files_count -> BigInt,
        private -> Bool,
        resolved_at -> BigInt,
        name_key -> Text,
    }
}

// Hashes that failed without an attempt.
diesel::allow_tables_to_appear_in_same_query!(failed_torrent, metadata_request);

diesel::table! {
    /// Which migrations were run; `diesel_migrations` keeps it.
    __diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}

diesel::allow_tables_to_appear_in_same_query!(torrent_file, torrent_metadata);
diesel::allow_tables_to_appear_in_same_query!(torrent_metadata, torrent_search);
