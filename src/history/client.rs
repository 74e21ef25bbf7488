//! Families of clients: peers of one software share its quirks, whatever the version.

use std::fmt;

/// The most bytes of the name of a family.
const NAME: usize = 16;

/// Two-letter codes of peer ids (BEP 20), as `qB4500` or `-qB4500-`, and the families that they stand for.
const CODES: [(&str, &str); 22] = [
    ("AG", "ares"),
    ("AZ", "vuze"),
    ("BC", "bitcomet"),
    ("BI", "biglybt"),
    ("BT", "bittorrent"),
    ("BW", "bitwombat"),
    ("DE", "deluge"),
    ("FD", "freedownload"),
    ("FL", "flud"),
    ("GT", "anacrolix"),
    ("KT", "ktorrent"),
    ("LT", "libtorrent"),
    ("PI", "picotorrent"),
    ("SD", "xunlei"),
    ("TR", "transmission"),
    ("TT", "tixati"),
    ("UM", "utorrent"),
    ("UT", "utorrent"),
    ("UW", "utorrent"),
    ("WW", "webtorrent"),
    ("XL", "xunlei"),
    ("qB", "qbittorrent"),
];

/// Words that names begin with, and the families that they stand for, where that is another word.
const NAMES: [(&str, &str); 12] = [
    ("µtorrent", "utorrent"),
    ("μtorrent", "utorrent"),
    ("utorrentweb", "utorrent"),
    ("utorrentmac", "utorrent"),
    ("azureus", "vuze"),
    ("thunder", "xunlei"),
    ("rtorrent", "rakshasa"),
    ("librtorrent", "rakshasa"),
    ("bittorrentweb", "bittorrent"),
    ("rain", "rain"),
    ("elementum", "libtorrent"),
    ("freedownloadmana", "freedownload"),
];

/// A family of clients: up to 16 bytes of lower-case ASCII letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Family([u8; NAME]);

impl Family {
    /// The family of a client, by the name that a peer gives itself. What has no name is `other`.
    #[must_use]
    pub fn of(client: &str) -> Self {
        let client = client.trim_start_matches(|c: char| c == '-' || c.is_whitespace());
        let letters = client
            .chars()
            .take_while(|c| c.is_alphabetic())
            .take(NAME)
            .collect::<String>();
        if let Some((_, family)) = CODES.iter().find(|(code, _)| *code == letters) {
            return Self::new(family);
        }
        let word = letters.to_lowercase();
        let known = NAMES.iter().find(|(name, _)| *name == word);
        Self::new(known.map_or(word.as_str(), |(_, family)| family))
    }

    fn new(name: &str) -> Self {
        let ascii = name.bytes().filter(u8::is_ascii_lowercase);
        let mut bytes = [0; NAME];
        bytes
            .iter_mut()
            .zip(ascii)
            .for_each(|(to, from)| *to = from);
        if bytes == [0; NAME] {
            return Self::new("other");
        }
        Self(bytes)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(NAME);
        self.0
            .get(..end)
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_client_are_one_family() {
        for (client, family) in [
            ("qBittorrent v4.5.0", "qbittorrent"),
            ("qBittorrent/4.6.3", "qbittorrent"),
            ("qB4500", "qbittorrent"),
            ("-qB4500-abcdefghijkl", "qbittorrent"),
            ("Transmission 3.00", "transmission"),
            ("TR3000", "transmission"),
            ("µTorrent 3.5.5", "utorrent"),
            ("\u{3bc}TorrentMac 1.8", "torrentmac"),
            ("uTorrent 2.2.1", "utorrent"),
            ("-UT355W-", "utorrent"),
            ("libtorrent/2.0.9.0", "libtorrent"),
            ("Azureus 5.7.6.0", "vuze"),
            ("-SD0100-", "xunlei"),
            ("Xunlei 0.0.1.0", "xunlei"),
            ("a-new-client 1", "a"),
            ("4.5", "other"),
            ("", "other"),
            ("\u{202e}\0", "other"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa"),
        ] {
            assert_eq!(Family::of(client).as_str(), family, "{client}");
        }
    }

    #[test]
    fn the_name_of_a_family_is_its_own_family() {
        for (_, family) in CODES.iter().chain(&NAMES) {
            assert_eq!(Family::of(family).as_str(), *family);
        }
        assert_eq!(Family::of("other").as_str(), "other");
    }
}
