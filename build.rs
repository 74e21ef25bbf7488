//! Builds the bridge to libtorrent-rasterbar: finds the library by pkg-config and compiles `cpp/`
//! with exactly the include paths and defines that the library itself was built with. A define that
//! is missing changes the layout of its structs.

use std::process::exit;

const BRIDGE: &str = "src/libtorrent/bridge.rs";
const SOURCES: [&str; 7] = [
    "cpp/alerts.cpp",
    "cpp/dht_plugin.cpp",
    "cpp/events.cpp",
    "cpp/metadata_plugin.cpp",
    "cpp/pieces.cpp",
    "cpp/session.cpp",
    "cpp/settings.cpp",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-changed={BRIDGE}");

    let library = pkg_config::Config::new()
        .atleast_version("2.0.0")
        .probe("libtorrent-rasterbar")
        .unwrap_or_else(|error| {
            eprintln!(
                "libtorrent-rasterbar 2.0 or newer was not found by pkg-config: install it and \
                 pkg-config (Debian, Ubuntu: `apt install libtorrent-rasterbar-dev pkg-config`).\n\
                 {error}"
            );
            exit(1);
        });

    let mut build = cxx_build::bridge(BRIDGE);
    build
        .files(SOURCES)
        .std("c++17")
        .includes(&library.include_paths);
    for (name, value) in &library.defines {
        build.define(name, value.as_deref());
    }
    build.compile("metafetch-libtorrent");
}
