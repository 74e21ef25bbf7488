//! Torznab and RSS, read as XML.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::home::Home;
use crate::swarm::TestTorrent;

/// Names of elements, and the values of attributes of `torznab:attr` by name, of a well-formed document.
async fn read(home: &Home, path: &str) -> (Vec<String>, Vec<(String, String)>) {
    let response = home.get(path).await;
    assert_eq!(response.status(), 200, "{path}");
    let text = response.text().await.unwrap();
    let mut reader = Reader::from_str(&text);
    let (mut names, mut attributes) = (Vec::new(), Vec::new());
    loop {
        let event = reader.read_event().unwrap();
        let element = match &event {
            Event::Eof => break,
            Event::Start(element) | Event::Empty(element) => element,
            _ => continue,
        };
        let name = String::from_utf8(element.name().as_ref().to_vec()).unwrap();
        if name == "torznab:attr" {
            let value = |name: &str| {
                let attribute = element.try_get_attribute(name).unwrap().unwrap();
                attribute.unescape_value().unwrap().into_owned()
            };
            attributes.push((value("name"), value("value")));
        }
        names.push(name);
    }
    (names, attributes)
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_find_what_is_stored() {
    let home = Home::start().await;
    let torrent = home.stored(TestTorrent::v1(4, 2_000)).await;
    let (names, _) = read(&home, "/torznab/api?t=caps").await;
    assert!(names.contains(&"searching".to_owned()) && names.contains(&"category".to_owned()));
    for path in [
        "/torznab/api?t=search",
        "/torznab/api?t=search&q=&limit=1&extended=1",
        "/rss",
        "/torznab/api?t=movie&offset=0",
    ] {
        let (names, attributes) = read(&home, path).await;
        assert_eq!(
            names.iter().filter(|name| *name == "item").count(),
            1,
            "{path}"
        );
        for name in ["title", "guid", "link", "size", "pubDate", "enclosure"] {
            assert!(names.contains(&name.to_owned()), "{path}: {name}");
        }
        assert!(
            attributes.contains(&("infohash".to_owned(), torrent.hex())),
            "{path}"
        );
        assert!(
            attributes
                .iter()
                .any(|(name, value)| name == "magneturl"
                    && value.starts_with("magnet:?xt=urn:btih:"))
        );
    }
    for path in [
        "/torznab/api?t=search&offset=1",
        "/torznab/api?t=search&cat=3000",
        "/rss?q=nothinglikethis",
        "/torznab/api?t=tvsearch&q=x&season=1&ep=2",
    ] {
        let (names, _) = read(&home, path).await;
        assert!(!names.contains(&"item".to_owned()), "{path}");
    }
    for path in [
        "/torznab/api",
        "/torznab/api?t=nonsense",
        "/torznab/api?t=search&cat=x",
        "/torznab/api?t=search&offset=4000000000",
    ] {
        let (names, _) = read(&home, path).await;
        assert_eq!(names, ["error"], "{path}");
    }
}
