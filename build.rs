//! Builds the bridge to libtorrent-rasterbar.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
