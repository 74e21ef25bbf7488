//! The XML of feeds: RSS 2.0, with the attributes of Torznab.

use std::io;

use jiff::Timestamp;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::daemon::api::search::FoundTorrent;
use crate::torrent::ContentType;

/// The most torrents that a reader of Torznab is told at a time.
pub(super) const PAGE: u32 = 100;

/// What there is to search, and how.
pub(super) fn caps() -> String {
    document(|xml| {
        let caps = xml.create_element("caps");
        caps.write_inner_content(|xml| {
            let version = env!("CARGO_PKG_VERSION");
            let server = [("version", version), ("title", "metafetch")];
            xml.create_element("server")
                .with_attributes(server)
                .write_empty()?;
            let page = PAGE.to_string();
            let limits = [("max", page.as_str()), ("default", page.as_str())];
            xml.create_element("limits")
                .with_attributes(limits)
                .write_empty()?;
            let searching = xml.create_element("searching");
            searching.write_inner_content(|xml| {
                for (name, supported) in [
                    ("search", "q"),
                    ("tv-search", "q,season,ep"),
                    ("movie-search", "q"),
                    ("music-search", "q"),
                    ("audio-search", "q"),
                    ("book-search", "q"),
                ] {
                    let attributes = [("available", "yes"), ("supportedParams", supported)];
                    xml.create_element(name)
                        .with_attributes(attributes)
                        .write_empty()?;
                }
                Ok(())
            })?;
            let categories = xml.create_element("categories");
            categories.write_inner_content(|xml| {
                for (id, name) in [
                    ("2000", "Movies"),
                    ("3000", "Audio"),
                    ("4000", "PC"),
                    ("5000", "TV"),
                    ("7000", "Books"),
                    ("8000", "Other"),
                ] {
                    let attributes = [("id", id), ("name", name)];
                    xml.create_element("category")
                        .with_attributes(attributes)
                        .write_empty()?;
                }
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(())
    })
}

/// An error of Torznab.
pub(super) fn error(code: u16, description: &str) -> String {
    document(|xml| {
        let code = code.to_string();
        let attributes = [("code", code.as_str()), ("description", description)];
        xml.create_element("error")
            .with_attributes(attributes)
            .write_empty()?;
        Ok(())
    })
}

/// Torrents as a feed; for Torznab with how many were skipped, and how many there are as far as known.
pub(super) fn feed(items: &[FoundTorrent], of: Option<(u32, usize)>) -> String {
    document(|xml| {
        let rss = xml.create_element("rss").with_attributes([
            ("version", "2.0"),
            ("xmlns:torznab", "http://torznab.com/schemas/2015/feed"),
            (
                "xmlns:newznab",
                "http://www.newznab.com/DTD/2010/feeds/attributes/",
            ),
        ]);
        rss.write_inner_content(|xml| {
            xml.create_element("channel").write_inner_content(|xml| {
                text(xml, "title", "metafetch")?;
                text(
                    xml,
                    "description",
                    "Torrents that metafetch has the metadata of",
                )?;
                text(xml, "link", "https://github.com/metafetch/metafetch")?;
                if let Some((offset, total)) = of {
                    let attributes = [("offset", offset.to_string()), ("total", total.to_string())];
                    let attributes = attributes
                        .iter()
                        .map(|(name, value)| (*name, value.as_str()));
                    let response = xml.create_element("newznab:response");
                    response.with_attributes(attributes).write_empty()?;
                }
                items.iter().try_for_each(|torrent| item(xml, torrent))
            })?;
            Ok(())
        })?;
        Ok(())
    })
}

fn item(xml: &mut Writer<Vec<u8>>, torrent: &FoundTorrent) -> io::Result<()> {
    let size = torrent.size.to_string();
    xml.create_element("item").write_inner_content(|xml| {
        text(xml, "title", &torrent.name)?;
        let guid = xml
            .create_element("guid")
            .with_attribute(("isPermaLink", "false"));
        guid.write_text_content(BytesText::new(&torrent.infohash))?;
        text(xml, "link", &torrent.magnet)?;
        if let Some(date) = date(torrent.resolved_at_ms) {
            text(xml, "pubDate", &date)?;
        }
        text(xml, "size", &size)?;
        let magnet = legal(&torrent.magnet);
        let enclosure = [
            ("url", magnet.as_str()),
            ("length", size.as_str()),
            ("type", "application/x-bittorrent;x-scheme-handler/magnet"),
        ];
        xml.create_element("enclosure")
            .with_attributes(enclosure)
            .write_empty()?;
        let files = torrent.files_count.to_string();
        for category in categories(torrent) {
            text(xml, "category", category)?;
            attribute(xml, "category", category)?;
        }
        attribute(xml, "size", &size)?;
        attribute(xml, "files", &files)?;
        attribute(xml, "infohash", &torrent.infohash)?;
        attribute(xml, "magneturl", &torrent.magnet)
    })?;
    Ok(())
}

/// The category of its type; what is named like an episode belongs to TV.
fn categories(torrent: &FoundTorrent) -> &'static [&'static str] {
    match torrent.content_type {
        ContentType::Video if is_episode(&torrent.name) => &["5000"],
        ContentType::Video => &["2000"],
        ContentType::Audio => &["3000"],
        ContentType::Software => &["4000"],
        ContentType::Document => &["7000"],
        _ => &["8000"],
    }
}

/// Whether a name has the number of a season, such as `S01E02` or `s3`.
fn is_episode(name: &str) -> bool {
    let words = name.split(|char: char| !char.is_ascii_alphanumeric());
    let mut words = words.filter_map(|word| word.strip_prefix(['s', 'S']));
    words.any(|word| {
        let digits = word
            .find(|char: char| !char.is_ascii_digit())
            .unwrap_or(word.len());
        let (season, rest) = word.split_at(digits);
        let episode = rest
            .strip_prefix(['e', 'E'])
            .map(|it| it.trim_start_matches(|c: char| c.is_ascii_digit()));
        (1..=2).contains(&season.len()) && (rest.is_empty() || episode.is_some())
    })
}

fn attribute(xml: &mut Writer<Vec<u8>>, name: &str, value: &str) -> io::Result<()> {
    let value = legal(value);
    let element = xml.create_element("torznab:attr");
    element
        .with_attributes([("name", name), ("value", value.as_str())])
        .write_empty()?;
    Ok(())
}

fn text(xml: &mut Writer<Vec<u8>>, name: &str, text: &str) -> io::Result<()> {
    let text = legal(text);
    xml.create_element(name)
        .write_text_content(BytesText::new(&text))?;
    Ok(())
}

/// Without the characters that XML 1.0 has no way to write, not even escaped: strangers choose the names.
fn legal(text: &str) -> String {
    let is_legal = |char: &char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(is_legal).collect()
}

/// As mails have it (RFC 2822).
fn date(at_ms: i64) -> Option<String> {
    let time = Timestamp::from_millisecond(at_ms).ok()?;
    jiff::fmt::rfc2822::to_string(&time.to_zoned(jiff::tz::TimeZone::UTC)).ok()
}

/// A document; writing to memory does not fail.
fn document(write: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>) -> String {
    let mut xml = Writer::new(Vec::new());
    let declared = xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    let written = declared.and_then(|()| write(&mut xml));
    if let Err(error) = written {
        tracing::debug!("a feed was not written: {error}");
    }
    String::from_utf8(xml.into_inner()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_can_not_say_is_left_out() {
        assert_eq!(
            legal("a\0b\u{1}\u{b}c\u{fffe}\u{ffff}\td\u{1f600}"),
            "abc\td\u{1f600}"
        );
    }

    #[test]
    fn names_with_a_season_are_episodes() {
        for name in ["A.Show.S01E02.mkv", "show s3 complete", "Show S01e02-03"] {
            assert!(is_episode(name), "{name}");
        }
        for name in ["A Film 2020", "Sense", "s", "S2020", "films 1"] {
            assert!(!is_episode(name), "{name}");
        }
    }

    #[test]
    fn documents_are_well_formed() {
        for document in [
            caps(),
            error(201, "a < b & \"c\""),
            feed(&[], Some((0, 0))),
            feed(&[], None),
        ] {
            let mut reader = quick_xml::Reader::from_str(&document);
            loop {
                if reader.read_event().unwrap() == Event::Eof {
                    break;
                }
            }
        }
    }
}
