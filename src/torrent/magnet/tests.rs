use std::fmt::Write as _;
use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

const HEX: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
const BASE32: &str = "YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK";
const V2: &str = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e";

fn magnet(text: &str) -> Magnet {
    text.parse().unwrap()
}

fn v1() -> Infohash {
    HEX.parse().unwrap()
}

#[test]
fn a_link_with_everything() {
    let link = magnet(&format!(
        "magnet:?xt=urn:btih:{HEX}&dn=Some+name%20%28x%29&tr=udp%3A%2F%2Ftracker.example%3A6969%2Fannounce\
         &tr=https://t.example/a?k=v&x.pe=1.2.3.4:6881&x.pe=%5B2a00::1%5D:6881&x.pe=seed.example:80\
         &so=0,2,4-6&ws=http://x.example/&xs=http://x.example/a.torrent"
    ));
    assert_eq!(link.infohash, v1());
    assert_eq!(link.name.as_deref(), Some("Some name (x)"));
    assert_eq!(
        link.trackers,
        [
            "udp://tracker.example:6969/announce",
            "https://t.example/a?k=v"
        ]
    );
    let peers: Vec<String> = link.peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["1.2.3.4:6881", "[2a00::1]:6881", "seed.example:80"]);
    assert_eq!(link.select_only.as_deref(), Some("0,2,4-6"));
}

#[test]
fn links_as_people_paste_them() {
    for text in [
        format!("magnet:?xt=urn:btih:{HEX}"),
        format!("  MAGNET:?XT=URN:BTIH:{}\r\n", HEX.to_uppercase()),
        format!("magnet:?xt=urn:btih:{BASE32}"),
        format!("magnet:?xt.1=urn:btih:{}", BASE32.to_lowercase()),
        format!("magnet:?xt=urn%3Abtih%3A{HEX}"),
        format!("magnet:?dn=&amp;xt=urn:btih:{HEX}&amp;"),
        format!("magnet:?&&xt=urn:sha1:{BASE32}&xt=urn:btih:{HEX}&xt=urn:btih:{BASE32}"),
        format!("magnet:?xt=urn:btih:{HEX}&xt=urn:btmh:1320{V2}"),
        format!("magnet:?xt=urn:btih:broken&xt=urn:btih:{HEX}"),
    ] {
        assert_eq!(magnet(&text), Magnet::new(v1()), "{text}");
    }
}

#[test]
fn versions() {
    let v2: Infohash = V2.parse().unwrap();
    let link = magnet(&format!("magnet:?xt=urn:btmh:1220{V2}"));
    assert_eq!(link.infohash, v2);
    let hybrid = magnet(&format!(
        "magnet:?xt.1=urn:btih:{HEX}&xt.2=urn:btmh:1220{V2}"
    ));
    assert_eq!(Some(hybrid.infohash), v1().merge(v2));
    assert_eq!(
        hybrid.to_string(),
        format!("magnet:?xt=urn:btih:{HEX}&xt=urn:btmh:1220{V2}")
    );
}

#[test]
fn what_is_no_link_to_a_torrent() {
    let error = |text: &str| text.parse::<Magnet>().unwrap_err();
    let other = HEX.replace('c', "d");
    for text in [
        "",
        "magnet:",
        "magnet:xt=",
        "http://x/?xt=1",
        HEX,
        "mägnet:?",
    ] {
        assert_eq!(error(text), MagnetError::Scheme, "{text}");
    }
    for text in [
        "magnet:?",
        "magnet:?dn=x",
        "magnet:?xt=urn:ed2k:0",
        "magnet:?xt",
    ] {
        assert_eq!(error(text), MagnetError::NoInfohash, "{text}");
    }
    assert!(matches!(
        error("magnet:?xt=urn:btih:abc"),
        MagnetError::Infohash(_)
    ));
    assert!(matches!(
        error("magnet:?xt=urn:btih:éééé"),
        MagnetError::Infohash(_)
    ));
    assert!(matches!(
        error(&format!("magnet:?xt=urn:btih:{HEX}&xt=urn:btih:{other}")),
        MagnetError::TwoTorrents(..)
    ));
    let long = format!("magnet:?xt=urn:btih:{HEX}&dn={}", "x".repeat(MAX_TEXT));
    assert_eq!(error(&long), MagnetError::TooLong(long.len()));
}

#[test]
fn bad_hints_are_left_out() {
    let link = magnet(&format!(
        "magnet:?xt=urn:btih:{HEX}&x.pe=nonsense&x.pe=1.2.3.4&x.pe=1.2.3.4:0&x.pe=1.2.3.4:99999\
         &tr=ftp://x.example&tr=udp://&tr=http:///a&tr=nothing&tr=http://a%0Ab/&so=../x&so=&dn=%1b%00"
    ));
    assert_eq!(link, Magnet::new(v1()));
    let long = format!(
        "magnet:?xt=urn:btih:{HEX}&tr=http://{}/",
        "x".repeat(MAX_TRACKER)
    );
    assert_eq!(magnet(&long).trackers, [""; 0]);
}

#[test]
fn repeated_hints_are_kept_once_and_bounded() {
    let mut text = format!("magnet:?xt=urn:btih:{HEX}");
    for n in 0..300 {
        let port = n + 1;
        write!(
            text,
            "&tr.{n}=http://{n}.example/&tr=http://0.example/&x.pe=1.2.3.4:{port}"
        )
        .unwrap();
    }
    let link = magnet(&text);
    assert_eq!((link.trackers.len(), link.peers.len()), (100, 200));
    assert_eq!(link.trackers[99], "http://99.example/");
    assert_eq!(link.peers[199].to_string(), "1.2.3.4:200");
}

fn any_magnet() -> impl Strategy<Value = Magnet> {
    let infohash = prop_oneof![
        any::<[u8; 20]>().prop_map(Infohash::V1),
        any::<[u8; 32]>().prop_map(Infohash::V2),
        any::<([u8; 20], [u8; 32])>().prop_map(|(v1, v2)| Infohash::Hybrid { v1, v2 }),
    ];
    let tracker = (
        "(http|https|udp|ws|wss)://[a-z0-9.]{1,12}",
        "(/[!-~é&+%]{0,12})?",
    )
        .prop_map(|(host, path)| host + &path);
    let peer = prop_oneof![
        any::<SocketAddr>().prop_map(|addr| PeerHint::Addr(addr.into())),
        ("[a-z][a-z0-9-]{0,8}\\.example", any::<u16>())
            .prop_map(|(host, port)| PeerHint::Host(host, port)),
    ]
    .prop_filter("port 0", |hint| !hint.to_string().ends_with(":0"));
    (
        infohash,
        prop::option::of("\\PC{1,20}").prop_map(|dn| dn.and_then(|dn| name(&dn))),
        prop::collection::hash_set(tracker, 0..5),
        prop::collection::hash_set(peer, 0..5),
        prop::option::of("[0-9,-]{1,10}"),
    )
        .prop_map(|(infohash, name, trackers, peers, select_only)| Magnet {
            infohash,
            name,
            trackers: trackers.into_iter().collect(),
            peers: peers.into_iter().collect(),
            select_only,
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(magnet in any_magnet()) {
        let text = magnet.to_string();
        prop_assert!(text.is_ascii() && !text.contains(' '));
        prop_assert_eq!(text.parse(), Ok(magnet));
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = text.parse::<Magnet>();
        if let Ok(magnet) = format!("magnet:?xt=urn:btih:{HEX}&{text}").parse::<Magnet>() {
            prop_assert_eq!(magnet.to_string().parse(), Ok(magnet));
        }
    }
}

#[test]
fn links_are_written_as_libtorrent_writes_them() {
    let v1 = Infohash::V1([0x0a; 20]);
    let v2 = Infohash::V2([0xfb; 32]);
    let (hex1, hex2) = ("0a".repeat(20), "fb".repeat(32));
    let name = "a b!é()*-._~'\"&+/%日😀\u{7f}";
    // As `make_magnet_uri` of libtorrent 2.0.8 escapes it.
    let escaped = "a%20b!%c3%a9()*-._~%27%22%26%2b%2f%25%e6%97%a5%f0%9f%98%80%7f";
    assert_eq!(
        magnet_link(v1, name),
        format!("magnet:?xt=urn:btih:{hex1}&dn={escaped}")
    );
    assert_eq!(
        magnet_link(v2, "x"),
        format!("magnet:?xt=urn:btmh:1220{hex2}&dn=x")
    );
    assert_eq!(
        magnet_link(v1.merge(v2).unwrap(), "x"),
        format!("magnet:?xt=urn:btih:{hex1}&xt=urn:btmh:1220{hex2}&dn=x")
    );
    assert_eq!(
        Magnet::new(v1).to_string(),
        format!("magnet:?xt=urn:btih:{hex1}")
    );
}

proptest! {
    #[test]
    fn a_written_link_is_read_as_the_same_torrent_and_name(
        v1 in any::<Option<[u8; 20]>>(), v2 in any::<[u8; 32]>(), name in any::<String>(),
    ) {
        let infohash = Infohash::V2(v2);
        let infohash = v1.map_or(infohash, |v1| infohash.merge(Infohash::V1(v1)).unwrap());
        let link = magnet_link(infohash, &name);
        prop_assert!(link.bytes().all(|byte| byte.is_ascii_graphic()));
        let magnet: Magnet = link.parse().unwrap();
        prop_assert_eq!(magnet.infohash, infohash);
        // What is read is for display, and has no control characters.
        let shown: String = name.trim().chars().filter(|char| !char.is_control()).collect();
        prop_assert_eq!(magnet.name.unwrap_or_default(), shown.trim());
    }
}
