//! The bridge to C++. Only plain structs, strings and bytes cross it; a C++ exception becomes an
//! error, and no Rust code that could panic runs inside C++.

pub(crate) use ffi::{
    DhtRequest, DhtStart, DhtTraffic, Event, EventKind, Limits, Peer, Setting, Torrent, Verdict,
};

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
        extension_timeout: u32,
        first_block_timeout: u32,
        transfer_timeout: u32,
        /// Bytes a second; 0 for none.
        min_rate: u32,
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
        /// Extension handshakes say nothing but what is needed.
        anonymous: bool,
    }

    /// What the DHT node of a session begins with.
    #[derive(Clone, Debug, Default)]
    struct DhtStart {
        /// What `dht_state()` returned in an earlier run, or empty.
        state: Vec<u8>,
        /// Where there is no state: the node id to have at the addresses in `local`, or empty.
        node_id: Vec<u8>,
        local: Vec<Peer>,
        /// Whether queries of other nodes are reported.
        observe: bool,
        /// Whether every `ping` and `find_node` is reported as well.
        observe_all: bool,
        /// How many of them a second one source may have reported.
        observed_per_source: u32,
    }

    /// A query to one DHT node.
    #[derive(Clone, Debug)]
    struct DhtRequest {
        key: u64,
        to: Peer,
        /// The message, bencoded, without `t`, `y` and our id.
        message: Vec<u8>,
    }

    /// What other DHT nodes asked of ours. Each entry has 80 bytes: the infohash, the node's id, our
    /// id, where the query came from (16 and 2), and the announced port, 0 for a `get_peers`. Of a `ping`
    /// or `find_node` the infohash is all zeros.
    #[derive(Clone, Debug, Default)]
    struct DhtTraffic {
        entries: Vec<u8>,
        /// How many did not fit into the queue.
        lost: u64,
        /// How many were beyond the share of their source.
        flooded: u64,
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
        /// The DHT request `number` is over: `data` is the whole answer, from `peer`, or empty.
        DhtAnswer,
        /// Nodes of the routing table: `data` has our id, then 20 and 18 bytes for each.
        DhtLiveNodes,
        /// The DHT node of the socket at `peer` has the id in `data`.
        DhtId,
        /// The DHT has finished its bootstrap.
        DhtBootstrapped,
        /// The DHT failed: `detail`.
        DhtFailed,
        /// `number` nodes are in the DHT's routing table; `micros` messages have come in so far.
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
        /// No block came in time.
        FirstBlockTimeout,
        /// Blocks came, but fewer bytes a second than it takes.
        TooSlow,
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

        /// Starts a session.
        fn open_session(
            settings: &[Setting],
            limits: &Limits,
            block_local: bool,
            dht: &DhtStart,
        ) -> Result<UniquePtr<Session>>;
        /// The eventfd that becomes readable when events wait. It belongs to the session.
        fn event_fd(self: &Session) -> i32;
        /// Moves the waiting events into `events`, and what was asked of the DHT node into `traffic`.
        fn drain(self: &Session, events: &mut Vec<Event>, traffic: &mut DhtTraffic) -> Result<()>;
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
        /// Asks DHT nodes. Does not wait; libtorrent gives up on a node after 15 s. No event comes
        /// of a request that can't be sent.
        fn ask(self: &Session, requests: &[DhtRequest]) -> Result<()>;
        /// Pings nodes; those that answer get into the routing table. Does not wait.
        fn ping(self: &Session, nodes: &[Peer]) -> Result<()>;
        /// Asks for an event with the nodes of the routing table of this node id. Does not wait.
        fn post_live_nodes(self: &Session, node_id: &[u8]) -> Result<()>;
        /// Closes every listening socket and opens it anew. Does not wait.
        fn reopen_sockets(self: &Session) -> Result<()>;
        /// Asks for events with the number of DHT nodes and our ids. Does not wait.
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
