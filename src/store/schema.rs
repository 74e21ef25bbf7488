//! The tables as diesel sees them. Column types are those that SQLite, MySQL and PostgreSQL share;
//! what the columns mean stands in the file of each table.

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
    /// Which migrations were run; `diesel_migrations` keeps it.
    __diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}
