//! What the DHT node may send, and how many ids it has.

use crate::discovery::dht::DhtLimits;
use crate::libtorrent;

/// Limits of the DHT node.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct DhtArgs {
    /// DHT queries a second, at the most; 0 for no limit
    #[arg(long = "dht-packets", value_name = "N", default_value_t = 500)]
    packets: u32,
    /// Bytes a second that DHT queries may take; 0 for no limit
    #[arg(long = "dht-bytes", value_name = "N", default_value_t = 100_000)]
    bytes: u32,
    /// DHT queries a second to one IP address; 0 for no limit
    #[arg(long = "dht-per-ip", value_name = "N", default_value_t = 2)]
    per_ip: u32,
    /// DHT node ids, each in a region of the key space and at a port of its own
    #[arg(long = "dht-identities", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    identities: u8,
}

impl DhtArgs {
    pub(super) fn limits(self) -> DhtLimits {
        let some = |limit: u32| (limit > 0).then_some(limit);
        DhtLimits {
            packets_per_second: some(self.packets),
            bytes_per_second: some(self.bytes),
            per_ip_per_second: some(self.per_ip),
            ..DhtLimits::default()
        }
    }

    pub(super) fn with_identities(
        self,
        settings: libtorrent::DhtSettings,
    ) -> libtorrent::DhtSettings {
        libtorrent::DhtSettings {
            identities: self.identities,
            ..settings
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        dht: DhtArgs,
    }

    fn parsed(args: &[&str]) -> DhtArgs {
        let args = std::iter::once("metafetch").chain(args.iter().copied());
        Command::try_parse_from(args).unwrap().dht
    }

    #[test]
    fn the_defaults_are_those_of_the_limits() {
        assert_eq!(parsed(&[]).limits(), DhtLimits::default());
    }

    #[test]
    fn nothing_is_no_limit() {
        let limits = parsed(&[
            "--dht-packets",
            "0",
            "--dht-bytes",
            "0",
            "--dht-per-ip",
            "7",
        ])
        .limits();
        assert_eq!(limits.packets_per_second, None);
        assert_eq!(limits.bytes_per_second, None);
        assert_eq!(limits.per_ip_per_second, Some(7));
    }
}
