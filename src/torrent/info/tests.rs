use proptest::prelude::*;

use super::*;

/// An info dictionary of these entries, with `pieces` of `n` hashes unless `n` is none.
fn dict(entries: &str, hashes: Option<usize>) -> Vec<u8> {
    let mut raw = format!("d{entries}").into_bytes();
    if let Some(n) = hashes {
        raw.extend_from_slice(format!("6:pieces{}:", n * 20).as_bytes());
        raw.extend(std::iter::repeat_n(b'x', n * 20));
    }
    raw.push(b'e');
    raw
}

fn error(entries: &str, hashes: Option<usize>) -> InfoError {
    Info::parse(&dict(entries, hashes)).unwrap_err()
}

/// A file of a v2 tree.
fn leaf(name: &str, length: i64) -> String {
    let root = "r".repeat(32);
    format!(
        "{}:{name}d0:d6:lengthi{length}e11:pieces root32:{root}ee",
        name.len()
    )
}

fn paths(info: &Info) -> Vec<String> {
    info.files.iter().map(|file| file.path.join("/")).collect()
}

#[test]
fn a_single_file() {
    let raw = dict(
        "6:lengthi40000e4:name5:a.iso12:piece lengthi16384e",
        Some(3),
    );
    let info = Info::parse(&raw).unwrap();
    assert_eq!(
        info,
        Info {
            name: "a.iso".into(),
            piece_length: 16384,
            pieces: 3,
            size: 40000,
            files: vec![FileEntry {
                path: vec!["a.iso".into()],
                length: 40000,
                is_padding: false
            }],
            private: false,
            version: MetaVersion::V1,
            source: None,
            is_canonical: true,
        }
    );
    let unsorted = dict(
        "4:name1:x6:lengthi1e12:piece lengthi1e7:privatei1e6:source2:ab",
        Some(1),
    );
    let info = Info::parse(&unsorted).unwrap();
    assert!(info.private && !info.is_canonical);
    assert_eq!(info.source.as_deref(), Some("ab"));
}

#[test]
fn several_files_with_padding() {
    let info = Info::parse(&dict(
        "5:filesld6:lengthi10e4:pathl1:a1:beed4:attr1:p6:lengthi6e4:pathl4:.pad1:6ee\
         d4:attr1:p6:lengthi0eed6:lengthi6e4:pathl21:_____padding_file_0_xee\
         d6:lengthi5e4:pathl3:\u{fffd}e10:path.utf-8l2:éeee4:name1:n12:piece lengthi16e",
        Some(2),
    ))
    .unwrap();
    assert_eq!((info.size, info.pieces), (15, 2));
    assert_eq!(
        paths(&info),
        ["a/b", ".pad/6", ".pad", "_____padding_file_0_x", "é"]
    );
    let padding: Vec<bool> = info.files.iter().map(|file| file.is_padding).collect();
    assert_eq!(padding, [false, true, true, true, false]);
}

#[test]
fn paths_never_leave_their_directory() {
    let info = Info::parse(&dict(
        "5:filesld6:lengthi0e4:pathl2:..0:1:.3:a/b3:a\\b3:a\0b3:...eee4:name2:..12:piece lengthi1e",
        Some(0),
    ))
    .unwrap();
    assert_eq!(paths(&info), ["__/_/_/a_b/a_b/a_b/..."]);
    assert_eq!(info.name, "..");
    let single = Info::parse(&dict("6:lengthi0e4:name2:..12:piece lengthi1e", Some(0))).unwrap();
    assert_eq!(paths(&single), ["__"]);
}

#[test]
fn names_of_the_wild() {
    let name = |entries: &[u8]| {
        let raw = [b"d6:lengthi0e", entries, b"12:piece lengthi1e6:pieces0:e"].concat();
        Info::parse(&raw).map(|info| info.name)
    };
    assert_eq!(name(b"4:name2:\xc4\xe3").unwrap(), "\u{fffd}\u{fffd}");
    assert_eq!(name("4:name1:x10:name.utf-83:你".as_bytes()).unwrap(), "你");
    assert_eq!(name(b"4:name1:x10:name.utf-81:\xff").unwrap(), "x");
    assert_eq!(name(b"10:name.utf-81:y").unwrap(), "y");
    assert_eq!(name(b"4:name0:").unwrap(), "");
    let long = format!("4:name8000:{}", "é".repeat(4000));
    assert!(name(long.as_bytes()).unwrap().len() <= 4096);
    assert_eq!(name(b""), Err(InfoError::Missing("name")));
    assert_eq!(name(b"4:namei1e"), Err(InfoError::Missing("name")));
}

#[test]
fn what_no_client_could_use_is_refused() {
    use InfoError as E;
    let single = "6:lengthi1e4:name1:x12:piece lengthi1e";
    assert_eq!(error(single, None), E::Missing("pieces"));
    let count = |expected, found| E::PiecesCount { expected, found };
    assert_eq!(error(single, Some(2)), count(1, 2));
    assert_eq!(error(single, Some(0)), count(1, 0));
    assert_eq!(
        error(&format!("{single}6:pieces1:x"), None),
        E::PiecesLength(1)
    );
    assert_eq!(error("4:name1:x", Some(0)), E::Missing("piece length"));
    for length in [0, -1, i64::MIN] {
        let entries = format!("6:lengthi1e4:name1:x12:piece lengthi{length}e");
        assert_eq!(error(&entries, Some(1)), E::PieceLength(length));
    }
    let multi = |files: &str| {
        error(
            &format!("5:filesl{files}e4:name1:x12:piece lengthi1e"),
            Some(0),
        )
    };
    assert_eq!(error("4:name1:x12:piece lengthi1e", Some(0)), E::NoFiles);
    assert_eq!(multi(""), E::NoFiles);
    assert_eq!(multi("i1e"), E::Path(0));
    assert_eq!(multi("d6:lengthi1e4:pathlee"), E::Path(0));
    assert_eq!(multi("d6:lengthi1e4:pathli1eee"), E::Path(0));
    assert_eq!(multi("d4:pathl1:aee"), E::Length(0));
    assert_eq!(multi("d6:lengthi-1e4:pathl1:aee"), E::Length(0));
    let huge = "d6:lengthi9223372036854775807e4:pathl1:aee";
    assert_eq!(multi(&format!("{huge}{huge}")), E::Overflow);
    assert_eq!(Info::parse(b"le"), Err(E::NotADict));
    let whole = dict(single, Some(1));
    for cut in 0..whole.len() {
        assert!(matches!(Info::parse(&whole[..cut]), Err(E::Bencode(_))));
    }
    assert!(Info::parse(&[&whole[..], b"x"].concat()).is_err());
}

#[test]
fn v2_trees() {
    let tree = |files: &str| {
        format!("9:file treed{files}e12:meta versioni2e4:name1:n12:piece lengthi16384e")
    };
    let files = format!(
        "{}1:dd{}{}e5:emptyd0:d6:lengthi0eee",
        leaf("a", 16385),
        leaf("..", 1),
        leaf("b", 2)
    );
    let info = Info::parse(&dict(&tree(&files), None)).unwrap();
    assert_eq!(paths(&info), ["a", "d/__", "d/b", "empty"]);
    assert_eq!((info.size, info.pieces), (16388, 4));
    assert_eq!(info.version, MetaVersion::V2);
    assert!(info.is_canonical);

    let refused = |files: &str| error(&tree(files), None);
    assert_eq!(refused(""), InfoError::NoFiles);
    assert_eq!(refused("1:ade"), InfoError::NoFiles);
    assert!(matches!(refused("1:ai1e"), InfoError::FileTree(_)));
    assert!(matches!(refused("0:d6:lengthi0ee"), InfoError::FileTree(_)));
    assert!(matches!(
        refused("1:ad0:d6:lengthi1eee"),
        InfoError::FileTree(_)
    ));
    assert_eq!(refused(&leaf("a", -1)), InfoError::Length(0));
    let deep = format!("{}{}{}", "1:ad".repeat(99), leaf("a", 1), "e".repeat(99));
    assert!(matches!(refused(&deep), InfoError::Bencode(_)));
    let odd = tree(&leaf("a", 1)).replace("16384", "16385");
    assert_eq!(error(&odd, None), InfoError::PieceLength(16385));
    let unknown = tree(&leaf("a", 1)).replace("versioni2e", "versioni3e");
    assert_eq!(error(&unknown, None), InfoError::MetaVersion(3));
}

#[test]
fn hybrids_must_agree() {
    let hybrid = |v1: i64, v2: i64| {
        dict(
            &format!(
                "9:file treed{}e6:lengthi{v1}e12:meta versioni2e4:name1:n12:piece lengthi16384e",
                leaf("n", v2)
            ),
            Some(1),
        )
    };
    let info = Info::parse(&hybrid(9, 9)).unwrap();
    assert_eq!((info.version, info.size), (MetaVersion::Hybrid, 9));
    assert_eq!(
        Info::parse(&hybrid(9, 8)),
        Err(InfoError::HybridMismatch { v1: 9, v2: 8 })
    );
}

#[test]
fn a_tree_that_unfolds_to_gigabytes_is_refused() {
    let dirs = "1:nd".repeat(90);
    let files: String = (0..20_000).map(|n| leaf(&n.to_string(), 1)).collect();
    let entries = format!(
        "9:file treed{dirs}{files}{}e12:meta versioni2e4:name1:n12:piece lengthi16384e",
        "e".repeat(90)
    );
    assert_eq!(error(&entries, None), InfoError::PathsTooLong);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        tree in "[deli0-9:a]{0,40}",
    ) {
        let _ = Info::parse(&bytes);
        let _ = Info::parse(&dict(&format!("9:file tree{tree}"), Some(0)));
        let _ = Info::parse(&dict(&format!("4:name1:x12:piece lengthi1e5:files{tree}"), Some(0)));
    }
}
