//! What the drop-in for the older crawler `dht_crawler` understands and says as that one did: its flags,
//! lines and modes, over the engine, the crawl and the store of metafetch.
//!
//! | file | what lives there |
//! |---|---|
//! | `args`, `help` | the command line, and the usage text |
//! | `settings` | the command line and the configuration file together |
//! | `console`, `log` | stdout and stderr, line by line |
//! | `lines`, `block`, `statistics` | what stands in them |
//! | `signals` | what ends the program |
//! | `start`, `database`, `mode` | from the first line to the last: database, engine, DHT, the mode |
//! | `normal`, `discovered`, `ticks` | hashes out of the DHT |
//! | `input`, `fetch` | `--metadata` and `--metadata_database` |
//! | `run`, `marks`, `peers` | what becomes of one hash, and what is stored of it |
//! | `hash` | the forms of a hash that lists and tables have |

mod args;
mod block;
mod console;
mod database;
mod discovered;
mod fetch;
mod hash;
mod help;
mod input;
mod lines;
mod log;
mod marks;
mod mode;
mod normal;
mod peers;
mod run;
mod settings;
mod signals;
mod start;
mod statistics;
mod ticks;

use std::io::Write as _;
use std::process::ExitCode;

pub use hash::{HashError, parse_hash};

use args::Parsed;
use console::complain;

/// Runs what the process arguments say.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().map_or_else(
        || "dht_crawler".to_owned(),
        |program| program.to_string_lossy().into_owned(),
    );
    let usage = |missing| {
        let text = help::text(&program, missing);
        // Whoever does not read it needs no other word.
        let _ = std::io::stdout().write_all(text.as_bytes());
    };
    let args = match args::parse(words) {
        Parsed::Help { missing } => {
            usage(missing);
            return ExitCode::SUCCESS;
        }
        Parsed::Unknown(what) => {
            complain(format_args!("{what}"));
            usage(false);
            return ExitCode::FAILURE;
        }
        Parsed::Refused(what) => {
            complain(format_args!("{what}"));
            return ExitCode::FAILURE;
        }
        Parsed::Run(args) => *args,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!(
                "Error: the async runtime did not start: {error}"
            ));
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(start::run(args)) {
        Ok(()) => 0,
        Err(what) => {
            complain(format_args!("Error: {what}"));
            1
        }
    };
    // Threads may still run that wait for a slow disk or resolver: they must not hold the process.
    crate::libtorrent::exit_now(code)
}
