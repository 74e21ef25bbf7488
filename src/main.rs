//! The `metafetch` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    metafetch::cli::main()
}
