//! Against a responder that is written from the description of the protocol.

use proptest::prelude::*;

use super::*;

const SKEY: [u8; 20] = [7; 20];
const HELLO: &[u8] = b"\x13BitTorrent protocol and what follows";

/// How the responder answers.
#[derive(Clone, Debug)]
struct Answer {
    skey: [u8; 20],
    select: u32,
    pad_b: usize,
    pad_d: usize,
    said: Vec<u8>,
}

impl Answer {
    fn new(select: u32) -> Self {
        Self {
            skey: SKEY,
            select,
            pad_b: 100,
            pad_d: 20,
            said: b"and the answer".to_vec(),
        }
    }
}

/// What the responder made of it.
#[derive(Debug)]
struct Responder {
    /// The offer, and what came along with the exchange.
    provided: u32,
    initial: Vec<u8>,
    receive: Cipher,
}

/// Runs an exchange in which the answers come in parts of `part` bytes.
fn exchange(
    answer: &Answer,
    only_rc4: bool,
    part: usize,
) -> Result<(Box<Established>, Responder), MseError> {
    let (mut initiator, first) = Initiator::new(SKEY, HELLO.to_vec(), only_rc4);
    assert!((KEY..=KEY + MAX_PAD).contains(&first.len()));
    let (secret, public) = Secret::random();
    let shared = secret.shared(first.first_chunk().unwrap()).unwrap();
    let mut reply = public.to_vec();
    reply.extend(vec![0xaa; answer.pad_b]);
    let mut third = Vec::new();
    let mut established = None;
    for part in reply.chunks(part) {
        match initiator.receive(part)? {
            Progress::More => {}
            Progress::Send(bytes) => third = bytes,
            Progress::Done(done) => established = Some(done),
        }
    }
    assert_eq!(third[..20], hash(&[b"req1", &shared]));
    let torrent = hash(&[b"req2", &SKEY]);
    let mask = hash(&[b"req3", &shared]);
    for at in 0..20 {
        assert_eq!(third[20 + at], torrent[at] ^ mask[at]);
    }
    let mut receive = Cipher::new(b"keyA", &shared, &answer.skey);
    let mut send = Cipher::new(b"keyB", &shared, &answer.skey);
    receive.apply(&mut third[40..]);
    let third = &third[40..];
    let responder = if answer.skey == SKEY {
        assert_eq!(third[..8], VC);
        let provided = u32::from_be_bytes(third[8..12].try_into().unwrap());
        let pad = usize::from(u16::from_be_bytes([third[12], third[13]]));
        let rest = &third[14 + pad..];
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        assert_eq!(rest.len(), 2 + length);
        Responder {
            provided,
            initial: rest[2..].to_vec(),
            receive,
        }
    } else {
        Responder {
            provided: 0,
            initial: Vec::new(),
            receive,
        }
    };
    let mut reply = VC.to_vec();
    reply.extend(answer.select.to_be_bytes());
    reply.extend(u16::try_from(answer.pad_d).unwrap().to_be_bytes());
    reply.extend(vec![0; answer.pad_d]);
    send.apply(&mut reply);
    let mut said = answer.said.clone();
    if answer.select == RC4 {
        send.apply(&mut said);
    }
    reply.extend(said);
    let mut rest = Vec::new();
    for part in reply.chunks(part) {
        match &mut established {
            Some(established) => {
                let mut part = part.to_vec();
                established.decrypt(&mut part);
                rest.extend(part);
            }
            None => {
                if let Progress::Done(done) = initiator.receive(part)? {
                    established = Some(done);
                }
            }
        }
    }
    let mut established = established.expect("the exchange did not end");
    established.rest.extend(rest);
    Ok((established, responder))
}

#[test]
fn both_methods_are_offered_and_what_is_selected_is_spoken() {
    for (select, method) in [(PLAINTEXT, Method::Plaintext), (RC4, Method::Rc4)] {
        let answer = Answer::new(select);
        let (mut established, mut responder) = exchange(&answer, false, 4096).unwrap();
        assert_eq!(responder.provided, PLAINTEXT | RC4);
        assert_eq!(responder.initial, HELLO);
        assert_eq!(established.method, method);
        assert_eq!(established.rest, answer.said);
        let mut bytes = b"more".to_vec();
        established.encrypt(&mut bytes);
        if method == Method::Rc4 {
            responder.receive.apply(&mut bytes);
        }
        assert_eq!(bytes, b"more");
    }
}

#[test]
fn only_rc4_is_offered_where_it_must_be_encrypted() {
    let (_, responder) = exchange(&Answer::new(RC4), true, 4096).unwrap();
    assert_eq!(responder.provided, RC4);
    let error = exchange(&Answer::new(PLAINTEXT), true, 4096).unwrap_err();
    assert_eq!(error, MseError::Method(PLAINTEXT));
}

#[test]
fn what_is_no_answer_is_refused() {
    for select in [0, 3, 4, u32::MAX] {
        let error = exchange(&Answer::new(select), false, 4096).unwrap_err();
        assert_eq!(error, MseError::Method(select));
    }
    let too_long = Answer {
        pad_d: 513,
        ..Answer::new(RC4)
    };
    let error = exchange(&too_long, false, 4096).unwrap_err();
    assert_eq!(error, MseError::Padding(513));
    let too_late = Answer {
        pad_b: 600,
        ..Answer::new(RC4)
    };
    let error = exchange(&too_late, false, 4096).unwrap_err();
    assert_eq!(error, MseError::NoVerification);
    let another_torrent = Answer {
        skey: [8; 20],
        pad_b: 512,
        said: vec![0; 600],
        ..Answer::new(RC4)
    };
    let error = exchange(&another_torrent, false, 4096).unwrap_err();
    assert_eq!(error, MseError::NoVerification);
}

#[test]
fn who_speaks_in_the_clear_is_told_from_who_gives_keys_away() {
    let first = |bytes: &[u8]| Initiator::new(SKEY, Vec::new(), false).0.receive(bytes);
    let error = first(b"\x13BitTorrent protocol........").unwrap_err();
    assert_eq!(error, MseError::Plaintext);
    let mut one = [0; KEY];
    for key in [
        [0; KEY],
        {
            one[KEY - 1] = 1;
            one
        },
        [0xff; KEY],
    ] {
        assert_eq!(first(&key).unwrap_err(), MseError::PublicKey);
    }
}

/// Python's `pow(2, 0x0123456789abcdef0123456789abcdef01234567, P)`.
#[test]
fn the_public_key_of_a_known_secret() {
    let expected = "6fd4bc7aa649593205ec30348a3ccc737b61fa01e9e1762c2c53eb69033afecb\
                    df7c13b8ac3643af78d0760b0f42db009f2b96c970f009d060faf617f117d0f1\
                    c221cea0561b9a86e852fc70a6f09ad0f82378603aa5e56b811deb3f534bf276";
    let secret = Secret::from_hex("000000000123456789abcdef0123456789abcdef01234567");
    assert_eq!(data_encoding::HEXLOWER.encode(&secret.public()), expected);
}

#[test]
fn two_secrets_lead_to_one() {
    let (a, public_a) = Secret::random();
    let (b, public_b) = Secret::random();
    assert_ne!(public_a, public_b);
    assert_eq!(a.shared(&public_b), b.shared(&public_a));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn pads_and_parts_do_not_matter(
        pad_b in 0_usize..=512,
        pad_d in 0_usize..=512,
        part in 1_usize..700,
        rc4 in any::<bool>(),
        said in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let select = if rc4 { RC4 } else { PLAINTEXT };
        let answer = Answer { skey: SKEY, select, pad_b, pad_d, said };
        let (established, responder) = exchange(&answer, false, part).unwrap();
        prop_assert_eq!(&established.rest, &answer.said);
        prop_assert_eq!(&responder.initial[..], HELLO);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_not_kept(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 0..8)
    ) {
        let (mut initiator, _) = Initiator::new(SKEY, HELLO.to_vec(), false);
        for part in parts {
            let failed = initiator.receive(&part).is_err();
            prop_assert!(initiator.received.len() <= KEY + 2 * MAX_PAD + 14 + part.len());
            if failed {
                break;
            }
        }
    }
}
