//! metafetch turns BitTorrent infohashes into verified torrent metadata (the info dictionary
//! behind a magnet link), for one hash or for millions, and says why when it cannot.
//!
//! A hash takes one way through the house, and each station is one file of [`engine`]:
//!
//! ```text
//! intake -> gate -> lookup -> choose -> attempt -> verify -> record -> emit
//! ```
//!
//! | module | what lives there | whom it knows |
//! |---|---|---|
//! | [`torrent`] | the terms of the field: infohash, peer, magnet, metainfo, outcome | nobody |
//! | [`wire`] | bytes only, no I/O: bencode, handshake, messages, `ut_metadata` | nobody |
//! | [`proxy`] | the SOCKS5 proxy that everything goes through, where there is one | `torrent` |
//! | [`direct`] | the direct arm: our own BEP 9 client over TCP | `torrent`, `wire`, `proxy` |
//! | [`discovery`] | where peers come from, as one stream per hash; the DHT, borrowed | `torrent`, `wire` |
//! | [`libtorrent`] | the libtorrent arm: the session behind a cxx bridge, and the DHT node | `torrent`, `wire`, `proxy`, what [`discovery::dht`] asks of its owner |
//! | [`history`] | what is known of peers: facts, decay, score | `torrent` |
//! | [`store`] | diesel: schema, one file per table, one batching writer | `torrent`, `history` |
//! | [`telemetry`] | what can be measured: one table of metrics, in which all of the above and below count | nobody |
//! | [`engine`] | the stations, and which arm goes first | all of the above |
//! | [`config`] | what can be set, by a file, the environment and flags; the way to the engine's options | `engine`, `store`, `proxy` |
//! | [`legacy`] | the drop-in for the older crawler `dht_crawler`: its flags, lines and modes | `engine`, `config` |
//! | [`daemon`] | all of it as a service: sources, queue, HTTP API, metrics, dashboard | `engine`, `config`, `store` |
//! | [`cli`] | one file per subcommand | `engine`, `config` |

pub mod cli;
pub mod config;
pub mod daemon;
pub mod direct;
pub mod discovery;
pub mod engine;
pub mod history;
pub mod legacy;
pub mod libtorrent;
pub mod proxy;
pub mod store;
pub mod telemetry;
pub mod torrent;
pub mod wire;
