//! The `metafetch` command.

fn main() {}
