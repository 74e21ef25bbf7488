use data_encoding::HEXLOWER_PERMISSIVE;
use proptest::prelude::*;

use super::*;
use crate::torrent::Info;

const HASH: Infohash = Infohash::V1([0xab; 20]);

fn string(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes].concat()
}

/// An info dictionary with this name and these files of one byte.
fn list(name: &[u8], files: &[&[&[u8]]]) -> Vec<u8> {
    let mut raw = b"d5:filesl".to_vec();
    for path in files {
        raw.extend_from_slice(b"d6:lengthi1e4:pathl");
        raw.extend(path.iter().flat_map(|component| string(component)));
        raw.extend_from_slice(b"ee");
    }
    raw.extend_from_slice(b"e4:name");
    raw.extend(string(name));
    raw.extend_from_slice(b"12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxe");
    raw
}

/// An info dictionary with this name and one file.
fn single(name: &[u8]) -> Vec<u8> {
    let mut raw = b"d6:lengthi5e4:name".to_vec();
    raw.extend(string(name));
    raw.extend_from_slice(b"12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxe");
    raw
}

fn names(raw: &[u8]) -> SanitizedNames {
    SanitizedNames::from_info(raw, &HASH).unwrap()
}

fn paths(raw: &[u8]) -> Vec<String> {
    names(raw).files.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn a_component_is_what_libtorrent_makes_of_it() {
    let lines = include_str!("libtorrent.txt").lines();
    let decode = |hex: &str| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap();
    let mut count = 0;
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (given, expected) = line.split_once(' ').unwrap();
        let expected = String::from_utf8(decode(expected)).unwrap();
        let raw = list(b"n", &[&[&decode(given)]]);
        assert_eq!(paths(&raw), [format!("n/{expected}")], "{given}");
        count += 1;
    }
    assert_eq!(count, 80);
}

#[test]
fn names_of_single_files_and_directories() {
    let long = "a".repeat(300);
    let cut = "a".repeat(240);
    let hash = HASH.to_string();
    for (given, expected) in [
        (&b"a b!\xc3\xa9.iso"[..], "a b!é.iso"),
        (b"caf\xe9 \xff.avi", "caf_.avi"),
        (b"\xff\xfe\xfd", "___"),
        (b"a/b\\c\0d", "abcd"),
        (b"a\xe2\x80\xaegpj.exe", "agpj.exe"),
        (b"\x01\t\n\x1f", "____"),
        (b"\x7f\xc2\x80\xe2\x80\x8b", "\u{7f}\u{80}\u{200b}"),
        (b" . a. .", " . a. ."),
        (b"...", "..."),
        (b"", "_"),
        (b".", &hash),
        (b"..", &hash),
        (b"/./\\", &hash),
        (long.as_bytes(), &cut),
        (format!("{long}.mkv").as_bytes(), &format!("{cut}.mkv")),
    ] {
        assert_eq!(names(&single(given)).name, expected, "{given:?}");
        assert_eq!(names(&single(given)).files, [(expected.to_owned(), 5)]);
        let several = names(&list(given, &[&[b"d", b"f"], &[b"g"]]));
        assert_eq!(several.name, expected);
        assert_eq!((several.file_count, several.size), (2, 2));
        assert_eq!(
            several.files[0],
            (format!("{expected}/d/f"), 1),
            "{given:?}"
        );
    }
}

#[test]
fn the_utf_8_name_goes_before_the_name() {
    let raw = b"d6:lengthi5e4:name3:bad10:name.utf-84:good12:piece lengthi16384e\
        6:pieces20:xxxxxxxxxxxxxxxxxxxxe";
    assert_eq!(names(raw).name, "good");
}

#[test]
fn paths_of_several_files() {
    let raw = list(
        b"n",
        &[
            &[b"a", b"..", b".", b"b"],
            &[b"..", b".."],
            &[b"", b""],
            &[b"/etc/passwd"],
            &[b"x", b"\\"],
            &[b"same"],
            &[b"same"],
        ],
    );
    let expected = [
        "n/a/b",
        "n/_",
        "n/_/_",
        "n/etcpasswd",
        "n/x",
        "n/same",
        "n/same",
    ];
    assert_eq!(paths(&raw), expected);
}

#[test]
fn padding_and_links() {
    let raw = b"d5:filesld6:lengthi5e4:pathl1:aeed4:attr1:p6:lengthi3e4:pathl4:.pad1:3ee\
        d4:attr1:p6:lengthi3eed4:attr1:l6:lengthi9e4:pathl1:lee\
        e4:name1:n12:piece lengthi8e6:pieces20:xxxxxxxxxxxxxxxxxxxxe";
    let names = names(raw);
    let files = [("n/a", 5), ("n/.pad/3", 3), ("n/.pad/3", 3), ("n/l", 0)];
    assert_eq!(names.files, files.map(|(path, len)| (path.to_owned(), len)));
    assert_eq!((names.file_count, names.size), (4, 11));
}

#[test]
fn v2_trees() {
    let leaf = format!("d0:d6:lengthi5e11:pieces root32:{}ee", "r".repeat(32));
    let tree = |tree: &str| {
        format!("d9:file treed{tree}e12:meta versioni2e4:name1:n12:piece lengthi16384ee")
            .into_bytes()
    };
    assert_eq!(names(&tree(&format!("1:b{leaf}"))).name, "b");
    assert_eq!(paths(&tree(&format!("1:b{leaf}"))), ["b"]);
    assert_eq!(paths(&tree(&format!("2:..{leaf}"))), ["n"]);
    assert_eq!(paths(&tree(&format!("1:dd1:b{leaf}e"))), ["n/d/b"]);
    let two = tree(&format!("2:/b{leaf}2:..d1:c{leaf}e"));
    assert_eq!(paths(&two), ["n/b", "n/c"]);
}

#[test]
fn a_tree_that_unfolds_to_gigabytes_is_counted_and_not_listed() {
    let directory = "d".repeat(250);
    let leaves: Vec<String> = (0..5000)
        .map(|file| format!("4:{file:04}d0:d6:lengthi0eee"))
        .collect();
    let above = format!("250:{directory}d").repeat(60);
    let tree = format!("{above}{}{}", leaves.concat(), "e".repeat(60));
    let raw = format!("d9:file treed{tree}e12:meta versioni2e4:name1:n12:piece lengthi16384ee");
    let names = names(raw.as_bytes());
    assert_eq!(names.file_count, 5000);
    let listed: usize = names.files.iter().map(|(path, _)| path.len()).sum();
    assert!(listed > MAX_PATHS / 2 && listed < MAX_PATHS + 20_000);
}

#[test]
fn what_is_no_dictionary_is_refused() {
    for raw in [&b"le"[..], b"de", b"d4:name1:ae", b"d4:name1:a5:filesleee"] {
        assert!(SanitizedNames::from_info(raw, &HASH).is_err(), "{raw:?}");
    }
}

/// Bytes that are often text, and often text with something wrong in it.
fn component() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        ".{0,300}".prop_map(String::into_bytes),
        proptest::collection::vec(
            prop::sample::select(&b"..//\\a\0\n\xe2\x80\xae\xff\xc3\xa9"[..]),
            0..12
        ),
    ]
}

proptest! {
    #[test]
    fn any_component_becomes_a_bounded_one_and_stays(given in component()) {
        if let Some(safe) = sanitized(&given) {
            prop_assert!(!safe.is_empty() && safe.len() <= 252, "{} bytes", safe.len());
            prop_assert!(!safe.contains(LEFT_OUT) && safe.chars().all(|char| char >= ' '));
            prop_assert!(safe != "." && safe != "..");
            prop_assert_eq!(sanitized(safe.as_bytes()), Some(safe));
        }
    }

    #[test]
    fn what_can_be_parsed_has_names(
        name in component(),
        files in proptest::collection::vec(proptest::collection::vec(component(), 1..4), 1..4),
    ) {
        let borrowed: Vec<Vec<&[u8]>> =
            files.iter().map(|path| path.iter().map(Vec::as_slice).collect()).collect();
        let borrowed: Vec<&[&[u8]]> = borrowed.iter().map(Vec::as_slice).collect();
        let raw = list(&name, &borrowed);
        let info = Info::parse(&raw).unwrap();
        let names = names(&raw);
        prop_assert_eq!(names.files.len(), info.files.len());
        prop_assert_eq!(names.size, info.files.iter().map(|file| file.length).sum::<u64>());
        for (path, _) in names.files {
            let below = path.strip_prefix(&format!("{}/", names.name)).map(str::to_owned);
            prop_assert!(below.is_some_and(|below| !below.is_empty()), "{}", path);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = SanitizedNames::from_info(&raw, &HASH);
    }
}
