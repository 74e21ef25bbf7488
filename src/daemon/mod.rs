//! `metafetch daemon`: crawl, backlog, watched directories and an HTTP API feed one engine, as a service.
//!
//! ```text
//! api, directory -> rows -> lane --\
//! backlog -------------------> lane -> fair -> queue -> work -> engine -> events, results
//! crawl ----------------------------/
//! ```
//!
//! | file | what lives there |
//! |---|---|
//! | `service` | the service as the API and the dashboard see it: what is asked of it, and how it is |
//! | `source` | where hashes come from, by their names |
//! | `sources` | those of them that look for hashes by themselves |
//! | `api` | the HTTP API: torrents, search, events, administration, Torznab and RSS |
//! | `event` | what happens, told to whoever listens |
//! | `queue` | what waits and what is in work |
//! | `deaths` | what was in work when the process died |
//! | `fair` | whose turn it is |
//! | `lane` | the hashes of one source that wait, the first ones in memory and the rest in the store |
//! | `rows` | what is wanted, as rows in the store |
//! | `work` | the loops between queue and engine |
//! | `reload` | the configuration, read again |
//! | `quota` | disk and memory |
//! | `backup` | copies of the SQLite database |
//! | `notify` | what systemd is told |
//! | `lock` | one service for a store |
//! | `supervise` | loops that end by a fault |
//! | `run` | its life, from start to end |
//! | `page` | the dashboard |
//! | `metrics` | `/metrics`: what was counted, and how all parts are |
//! | `health` | `/healthz` and `/readyz` |
//! | `heartbeat` | which loops are alive |
//! | `log` | the log, as text or JSON |
//! | `otlp` | traces, for an OpenTelemetry collector |

pub mod api;
mod backup;
mod deaths;
pub mod event;
mod fair;
pub mod health;
pub mod heartbeat;
mod lane;
mod lock;
pub mod log;
pub mod metrics;
pub mod notify;
#[cfg(feature = "opentelemetry")]
mod otlp;
mod page;
mod queue;
mod quota;
mod reload;
mod rows;
mod run;
pub mod service;
pub mod source;
mod sources;
mod supervise;
mod work;

pub use event::Event;
pub use lock::LockError;
pub use reload::{Apply, Load};
pub use run::{Daemon, Done, Parts, StartError};
pub use service::{Asked, Reloaded, Service, Standing, WantError};
pub use source::{SourceName, SourceState};
