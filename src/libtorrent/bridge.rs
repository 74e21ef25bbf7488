//! The bridge to C++. Only plain structs, strings and bytes cross it; a C++ exception becomes an
//! error, and no Rust code that could panic runs inside C++.

pub(crate) use ffi::{Event, EventKind, Limits, Peer, Setting, Torrent, Verdict};

/// What is declared to both languages.
#[cxx::bridge(namespace = "metafetch")]
pub(crate) mod ffi {
    /// One libtorrent setting by its name; the value is parsed by the setting's type.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Setting {
        name: String,
        value: String,
    }

    /// An endpoint: an IPv6 address, or an IPv4 address mapped into IPv6, and a port.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Peer {
        ip: [u8; 16],
        port: u16,
    }

    /// What a peer is allowed to cost. Times are milliseconds.
    #[derive(Clone, Copy, Debug)]
    struct Limits {
        max_metadata_size: u32,
        connect_timeout: u32,
        handshake_timeout: u32,
        transfer_timeout: u32,
    }

    /// A torrent to add. `v1` holds 20 bytes or none, `v2` 32 bytes or none.
    #[derive(Debug)]
    struct Torrent {
        key: u64,
        v1: Vec<u8>,
        v2: Vec<u8>,
        trackers: Vec<String>,
        peers: Vec<Peer>,
        pex: bool,
        lsd: bool,
    }

    /// What happened.
    #[derive(Debug)]
    #[repr(u8)]
    enum EventKind {
        /// libtorrent learnt of a peer; `number` is its `peer_source_flags_t`.
        PeerFound,
        /// The connection to `peer` stands.
        Connected,
        /// The handshake of `peer` is complete; `data` is its peer id.
        Handshake,
        /// The extension handshake of `peer`; `number` is `metadata_size`, `text` is `v`.
        Extension,
        /// The attempt at `peer` is over; see `verdict`, `code`, `category`, `text`.
        PeerFailed,
        /// `data` is the info dictionary, verified, from `peer`.
        Metadata,
        /// Tracker `text` answered with `number` peers.
        TrackerReply,
        /// Tracker `text` failed: `detail`.
        TrackerError,
        /// A socket listens at `peer`; `number` is 0 for TCP and 1 for UDP.
        Listening,
        /// A socket could not listen at `peer`: `detail`; `code` is the system's error.
        ListenFailed,
        /// A DHT node listed peers of the hash in `data`: 20 bytes, then 18 for each peer.
        DhtPeers,
        /// The DHT has finished its bootstrap.
        DhtBootstrapped,
        /// The DHT failed: `detail`.
        DhtFailed,
        /// `number` nodes are in the DHT's routing table.
        DhtNodes,
        /// Alerts of `number` types were dropped because the queue was full.
        AlertsDropped,
        /// The session is closed: the last event of all.
        Closed,
    }

    /// Why an attempt at a peer is over.
    #[derive(Debug)]
    #[repr(u8)]
    enum Verdict {
        /// The connection failed or ended with the error in `code` and `category`.
        Disconnected,
        ConnectTimeout,
        HandshakeTimeout,
        NoExtensionProtocol,
        NoUtMetadata,
        MetadataSizeInvalid,
        Rejected,
        TransferTimeout,
        ProtocolViolation,
        HashMismatch,
    }

    /// One event. Fields that its kind does not name are empty.
    #[derive(Debug)]
    struct Event {
        kind: EventKind,
        torrent: u64,
        peer: Peer,
        /// Microseconds since this connection was begun.
        micros: u64,
        verdict: Verdict,
        /// 0 connect, 1 handshake, 2 extension handshake, 3 transfer, 4 verification.
        phase: u8,
        code: i32,
        /// Name of the error category of `code`: `system`, `asio.misc`, `libtorrent`, ...
        category: String,
        number: i64,
        text: String,
        detail: String,
        data: Vec<u8>,
    }

    extern "Rust" {
        /// The bytes as a vector, in one go: C++ can only fill one byte by byte.
        fn copied(bytes: &[u8]) -> Vec<u8>;
    }

    unsafe extern "C++" {
        include!("metafetch/cpp/session.hpp");
        include!("metafetch/cpp/settings.hpp");

        /// A libtorrent session without its stock plugins and without disk access.
        type Session;

        /// Starts a session. `dht_state` is what `dht_state()` returned, or empty.
        fn open_session(
            settings: &[Setting],
            limits: &Limits,
            block_local: bool,
            dht_state: &[u8],
        ) -> Result<UniquePtr<Session>>;
        /// The eventfd that becomes readable when events wait. It belongs to the session.
        fn event_fd(self: &Session) -> i32;
        /// Moves the waiting events into `events`.
        fn drain(self: &Session, events: &mut Vec<Event>) -> Result<()>;
        /// Adds a torrent and dials its peers at once. Waits for the network thread.
        fn add(self: &Session, torrent: &Torrent) -> Result<()>;
        /// Dials more peers of a torrent at once. Does not wait.
        fn connect(self: &Session, key: u64, peers: &[Peer]) -> Result<()>;
        /// Removes a torrent. Does not wait.
        fn remove(self: &Session, key: u64) -> Result<()>;
        /// Changes settings of the running session. Does not wait.
        fn apply(self: &Session, settings: &[Setting]) -> Result<()>;
        /// Asks the DHT for peers of a hash of 20 bytes. Does not wait.
        fn get_peers(self: &Session, infohash: &[u8]) -> Result<()>;
        /// Asks for an event with the number of DHT nodes. Does not wait.
        fn post_dht_nodes(self: &Session) -> Result<()>;
        /// The DHT's node id and nodes, bencoded. Waits for the network thread.
        fn dht_state(self: &Session) -> Result<Vec<u8>>;
        /// Removes every torrent and ends the session. Waits for its threads.
        fn close(self: &Session) -> Result<()>;

        /// Ends the process at once, without exit handlers.
        fn exit_now(code: i32);

        /// The default of a setting, as text; an unknown name is an error.
        fn default_setting(name: &str) -> Result<String>;
        /// The version of the libtorrent that is loaded.
        fn library_version() -> String;
    }
}

// SAFETY: `Session` guards its own state by a mutex, and every libtorrent call it makes is one that
// libtorrent documents as safe from any thread.
unsafe impl Send for ffi::Session {}
// SAFETY: as above; all methods take `&self`.
unsafe impl Sync for ffi::Session {}

fn copied(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}
