//! The `dht_crawler` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    metafetch::legacy::main()
}
