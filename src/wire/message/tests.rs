use proptest::prelude::*;

use super::*;

const MAX: usize = 64 << 10;

fn other(id: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len() + 1)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    bytes.push(id);
    bytes.extend_from_slice(payload);
    bytes
}

/// What a decoder makes of these chunks, as text, and the error at its end.
fn read(chunks: &[&[u8]]) -> (Vec<String>, Option<FrameError>) {
    let mut frames = FrameDecoder::new(MAX);
    let mut messages = Vec::new();
    for chunk in chunks {
        frames.extend(chunk);
        loop {
            match frames.next() {
                Ok(Some(Message::Extended { id, payload })) => {
                    messages.push(format!("{id} {}", payload.escape_ascii()));
                }
                Ok(Some(message)) => messages.push(format!("{message:?}")),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(frames.next(), Err(error), "an error stays");
                    return (messages, Some(error));
                }
            }
        }
    }
    (messages, None)
}

/// Every message of BEP 6 and BEP 52, byte for byte: they come unasked, and are skipped.
#[test]
fn messages_of_the_fast_extension_and_of_v2() {
    let bytes = [
        &b"\0\0\0\x05\x0d\0\0\0\x07"[..],
        b"\0\0\0\x01\x0e",
        b"\0\0\0\x01\x0f",
        b"\0\0\0\x0d\x10\0\0\0\x01\0\0\x40\0\0\0\x40\0",
        b"\0\0\0\x05\x11\0\0\0\x09",
        &[&b"\0\0\0\x31\x15"[..], &[7; 48]].concat(),
        b"\0\0\0\x04\x14\x01de",
    ]
    .concat();
    let (messages, error) = read(&[&bytes]);
    assert_eq!(error, None);
    assert_eq!(
        messages,
        [
            "Other(suggest_piece, 4 bytes)",
            "Other(have_all, 0 bytes)",
            "Other(have_none, 0 bytes)",
            "Other(reject_request, 12 bytes)",
            "Other(allowed_fast, 4 bytes)",
            "Other(hash_request, 48 bytes)",
            "1 de",
        ]
    );
}

#[test]
fn messages_before_and_around_the_extended_one() {
    let mut bytes = other(5, &[0xff; 100]);
    bytes.extend_from_slice(&[0, 0, 0, 0]);
    bytes.extend(other(14, &[]));
    bytes.extend(encode_extended(3, b"d8:msg_typei0e5:piecei0ee"));
    bytes.extend(other(9, &[0x1a, 0xe1]));
    let (messages, error) = read(&[&bytes]);
    assert_eq!(error, None);
    assert_eq!(
        messages,
        [
            "Other(bitfield, 100 bytes)",
            "KeepAlive",
            "Other(have_all, 0 bytes)",
            "3 d8:msg_typei0e5:piecei0ee",
            "Other(port, 2 bytes)",
        ]
    );
}

#[test]
fn the_encoding_is_that_of_bep_10() {
    assert_eq!(encode_extended(0, b"de"), b"\0\0\0\x04\x14\0de");
    assert_eq!(encode_extended(7, b""), b"\0\0\0\x02\x14\x07");
}

#[test]
fn lengths_beyond_the_limits_are_errors() {
    let extended = |len: u32| [&len.to_be_bytes()[..], &[20]].concat();
    let skipped = |len: u32| [&len.to_be_bytes()[..], &[7]].concat();
    let error = |bytes: &[u8]| read(&[bytes]).1;
    let too_long = |id, len, max| Some(FrameError::TooLong { id, len, max });
    assert_eq!(error(&extended(65_536)), None);
    assert_eq!(error(&extended(65_537)), too_long(20, 65_537, MAX));
    assert_eq!(error(&extended(u32::MAX)), too_long(20, 4_294_967_295, MAX));
    assert_eq!(error(&skipped(16 << 20)), None);
    assert_eq!(
        error(&skipped((16 << 20) + 1)),
        too_long(7, (16 << 20) + 1, MAX_SKIPPED)
    );
    assert_eq!(
        error(b"HTTP/1.1 "),
        too_long(b'/', 0x4854_5450, MAX_SKIPPED)
    );
    assert_eq!(error(b"\0\0\0\x01\x14"), Some(FrameError::NoExtendedId));
}

#[test]
fn a_long_message_of_another_kind_takes_no_memory() {
    let mut frames = FrameDecoder::new(MAX);
    frames.extend(&(2_u32 << 20).to_be_bytes());
    frames.extend(&[5]);
    assert_eq!(
        frames.next(),
        Ok(Some(Message::Other {
            id: 5,
            len: (2 << 20) - 1
        }))
    );
    let mut left = (2 << 20) - 1;
    while left > 0 {
        let n = frames.spare_mut().len().min(left);
        frames.advance(n);
        left -= n;
        assert_eq!(frames.next(), Ok(None));
        assert!(frames.buffer.capacity() <= 2 * CHUNK);
    }
    frames.extend(&encode_extended(1, b"x"));
    assert_eq!(
        frames.next(),
        Ok(Some(Message::Extended {
            id: 1,
            payload: b"x"
        }))
    );
}

#[test]
fn the_longest_message_is_buffered_within_bounds() {
    let mut frames = FrameDecoder::new(MAX);
    let message = encode_extended(1, &vec![b'x'; MAX - 2]);
    for _ in 0..3 {
        for chunk in message.chunks(1000) {
            assert_eq!(frames.next(), Ok(None));
            frames.extend(chunk);
        }
        assert!(
            matches!(frames.next(), Ok(Some(Message::Extended { id: 1, payload })) if payload.len() == MAX - 2)
        );
    }
    assert!(frames.buffer.capacity() <= CHUNK.max(PREFIX + MAX));
}

#[test]
fn too_much_advance_does_no_harm() {
    let mut frames = FrameDecoder::new(MAX);
    frames.advance(usize::MAX);
    assert_eq!(frames.next(), Ok(None));
    let _ = frames.spare_mut();
    frames.advance(usize::MAX);
    assert_eq!(frames.next(), Ok(Some(Message::KeepAlive)));
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let payload = || prop::collection::vec(any::<u8>(), 0..40);
    let frame = prop_oneof![
        Just(vec![0, 0, 0, 0]),
        (any::<u8>(), payload()).prop_map(|(id, payload)| encode_extended(id, &payload)),
        (any::<u8>(), payload()).prop_map(|(id, payload)| other(id, &payload)),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(
        bytes in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = read(&[&bytes]);
        prop_assert_eq!(&whole, &read(&chunks));
        prop_assert_eq!(&whole, &read(&single));
    }
}
