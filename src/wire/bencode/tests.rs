use proptest::prelude::*;

use super::*;

fn message(bytes: &[u8]) -> Result<Node<'_>, BencodeError> {
    parse(bytes, Limits::MESSAGE)
}

#[test]
fn values_of_every_kind() {
    assert_eq!(message(b"i-42e").unwrap().as_int(), Some(-42));
    assert_eq!(message(b"4:spam").unwrap().as_bytes(), Some(&b"spam"[..]));
    assert_eq!(message(b"0:").unwrap().as_bytes(), Some(&b""[..]));
    assert_eq!(message(b"le").unwrap().as_list(), Some(&[][..]));
    assert_eq!(message(b"de").unwrap().as_dict(), Some(&[][..]));
    let dict = message(b"d4:spaml1:a1:be3:cow3:mooe").unwrap();
    assert_eq!(dict.get("cow").unwrap().as_bytes(), Some(&b"moo"[..]));
    let list = dict.get("spam").unwrap();
    assert_eq!(list.raw, b"l1:a1:be");
    assert_eq!(list.as_list().unwrap()[1].as_bytes(), Some(&b"b"[..]));
    assert_eq!(list.get("a"), None);
    assert_eq!((dict.as_int(), dict.as_bytes()), (None, None));
}

#[test]
fn the_ends_of_i64_fit_and_nothing_beyond() {
    let int = |text: &str| message(text.as_bytes()).map(|node| node.as_int().unwrap());
    assert_eq!(int("i9223372036854775807e"), Ok(i64::MAX));
    assert_eq!(int("i-9223372036854775808e"), Ok(i64::MIN));
    assert_eq!(int("i0e"), Ok(0));
    for text in ["i9223372036854775808e", "i-9223372036854775809e"] {
        assert_eq!(int(text), Err(BencodeError::Integer { offset: 0 }));
    }
}

#[test]
fn what_the_wild_does_is_tolerated_and_not_canonical() {
    for (bytes, canonical) in [
        (&b"d1:ai1e1:bi2ee"[..], true),
        (b"d1:bi2e1:ai1ee", false),
        (b"d1:ai1e1:ai2ee", false),
        (b"i007e", false),
        (b"i-0e", false),
        (b"i-007e", false),
        (b"003:abc", false),
    ] {
        let text = String::from_utf8_lossy(bytes);
        assert!(message(bytes).is_ok(), "{text}");
        assert_eq!(is_canonical(bytes), canonical, "{text}");
    }
    assert_eq!(message(b"i-0e").unwrap().as_int(), Some(0));
    assert_eq!(message(b"i-007e").unwrap().as_int(), Some(-7));
    let twice = message(b"d1:ai1e1:ai2ee").unwrap();
    assert_eq!(twice.get("a").unwrap().as_int(), Some(1));
}

#[test]
fn malformed_bytes_are_refused_by_both_readers() {
    for bytes in [
        &b""[..],
        b"e",
        b"x",
        b"-1:a",
        b"ie",
        b"i-e",
        b"i--1e",
        b"i+1e",
        b"i1.5e",
        b"i 1e",
        b"i1",
        b"1:",
        b"1",
        b"3abc",
        b"d1:ae",
        b"di1ei2ee",
        b"dlei1ee",
        b"lee",
        b"i1ei2e",
        b"99999999999999999999:a",
        b"18446744073709551615:a",
        b"18446744073709551614:a",
        b"d9223372036854775807:a",
        b"\xff\xff",
    ] {
        let text = String::from_utf8_lossy(bytes);
        assert!(message(bytes).is_err(), "{text}");
        assert!(check(bytes, Limits::MESSAGE).is_err(), "{text}");
        assert!(!is_canonical(bytes), "{text}");
    }
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    let whole = b"d1:ad2:idi-12e4:listli1e3:abcdeee1:q4:ping1:t2:aae";
    assert!(message(whole).is_ok() && is_canonical(whole));
    for cut in 0..whole.len() {
        assert_eq!(
            message(&whole[..cut]),
            Err(BencodeError::Truncated { offset: cut }),
            "{cut}"
        );
        assert!(!is_canonical(&whole[..cut]), "{cut}");
    }
}

#[test]
fn a_million_nested_lists_are_refused() {
    for (open, close) in [("l", "e"), ("d1:a", "e")] {
        let deep = open.repeat(1_000_000) + &close.repeat(1_000_000);
        let endless = Limits {
            depth: usize::MAX,
            tokens: usize::MAX,
        };
        assert_eq!(
            parse(deep.as_bytes(), Limits::INFO),
            Err(BencodeError::TooDeep { max: 100 })
        );
        assert_eq!(
            parse(deep.as_bytes(), endless),
            Err(BencodeError::TooDeep {
                max: Limits::MAX_DEPTH
            })
        );
        assert!(!is_canonical(deep.as_bytes()));
    }
    let limit = "l".repeat(16) + &"e".repeat(16);
    assert!(message(limit.as_bytes()).is_ok());
    assert!(message(format!("l{limit}e").as_bytes()).is_err());
}

#[test]
fn too_many_values_are_refused() {
    let list = |n: usize| format!("l{}e", "le".repeat(n));
    assert!(message(list(4095).as_bytes()).is_ok());
    assert_eq!(
        message(list(4096).as_bytes()),
        Err(BencodeError::TooLarge { max: 4096 })
    );
}

#[test]
fn a_prefix_leaves_the_rest() {
    let (node, rest) = parse_prefix(b"d1:ai1eeBLOCK", Limits::MESSAGE).unwrap();
    assert_eq!((node.raw, rest), (&b"d1:ai1ee"[..], &b"BLOCK"[..]));
    assert_eq!(
        message(b"d1:ai1eeBLOCK"),
        Err(BencodeError::Trailing { offset: 8 })
    );
    assert_eq!(
        check(b"d1:ai1eeBLOCK", Limits::MESSAGE),
        Err(BencodeError::Trailing { offset: 8 })
    );
}

/// A value without the bytes it came from.
#[derive(Clone, Debug)]
enum Plain {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Plain>),
    Dict(Vec<(Vec<u8>, Plain)>),
}

impl Plain {
    fn encode(&self, out: &mut Vec<u8>) {
        let string = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Int(int) => out.extend_from_slice(format!("i{int}e").as_bytes()),
            Self::Bytes(bytes) => string(out, bytes),
            Self::List(items) => {
                out.push(b'l');
                for item in items {
                    item.encode(out);
                }
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    string(out, key);
                    value.encode(out);
                }
                out.push(b'e');
            }
        }
    }

    fn is(&self, node: &Node<'_>) -> bool {
        let mut raw = Vec::new();
        self.encode(&mut raw);
        raw == node.raw
            && match (self, &node.value) {
                (Self::Int(a), Value::Int(b)) => a == b,
                (Self::Bytes(a), Value::Bytes(b)) => a == b,
                (Self::List(a), Value::List(b)) => {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b))
                }
                (Self::Dict(a), Value::Dict(b)) => {
                    a.len() == b.len()
                        && a.iter()
                            .zip(b)
                            .all(|((ka, a), (kb, b))| ka == kb && a.is(b))
                }
                _ => false,
            }
    }

    fn is_sorted(&self) -> bool {
        match self {
            Self::Int(_) | Self::Bytes(_) => true,
            Self::List(items) => items.iter().all(Self::is_sorted),
            Self::Dict(entries) => {
                entries.windows(2).all(|pair| pair[0].0 < pair[1].0)
                    && entries.iter().all(|(_, value)| value.is_sorted())
            }
        }
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..8);
    let leaf = prop_oneof![
        any::<i64>().prop_map(Plain::Int),
        bytes().prop_map(Plain::Bytes)
    ];
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Plain::List),
            prop::collection::vec((bytes(), inner), 0..5).prop_map(Plain::Dict),
        ]
    })
}

/// Bytes of the bencode alphabet, which get further into a parser than random ones.
fn near_bencode() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"deli0123459:-ax".as_slice()), 0..64)
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(plain in plain(), rest in any::<[u8; 3]>()) {
        let mut bytes = Vec::new();
        plain.encode(&mut bytes);
        prop_assert!(plain.is(&message(&bytes).unwrap()));
        prop_assert_eq!(is_canonical(&bytes), plain.is_sorted());
        let len = bytes.len();
        bytes.extend_from_slice(&rest);
        let (node, after) = parse_prefix(&bytes, Limits::MESSAGE).unwrap();
        prop_assert_eq!(node.raw.len(), len);
        prop_assert_eq!(after, &rest[..]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        prop_assert_eq!(message(&bytes).err(), check(&bytes, Limits::MESSAGE).err());
        let _ = is_canonical(&bytes);
    }

    #[test]
    fn what_is_canonical_is_readable(bytes in near_bencode()) {
        let parsed = message(&bytes);
        let checked = check(&bytes, Limits::MESSAGE);
        prop_assert_eq!(parsed.as_ref().err(), checked.as_ref().err());
        if is_canonical(&bytes) {
            // bendy keeps integers as text, so only their size can come between the two.
            let is_read = matches!(parsed, Ok(_) | Err(BencodeError::Integer { .. }));
            prop_assert!(is_read);
        }
    }
}
