//! Bytes of the swarm's own: bencode, the peer wire protocol, and numbers from a seed. None of it
//! comes from the crate under test, so that an error there cannot hide behind the same error here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Bytes of a metadata piece (BEP 9).
pub const BLOCK: usize = 16 * 1024;

/// The extension message id under which swarm peers want `ut_metadata` requests. A client that
/// sends its own id instead gets no answer.
pub const OUR_UT_METADATA: u8 = 23;

/// A bencoded value (BEP 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An integer.
    Int(i64),
    /// A string.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A dictionary; its keys come out sorted.
    Dict(BTreeMap<Vec<u8>, Value>),
    /// Bytes put in as they are: integers beyond 64 bits, deliberate rubbish.
    Raw(Vec<u8>),
}

impl Value {
    /// A string.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(bytes.as_ref().to_vec())
    }

    /// A dictionary of these entries.
    pub fn dict<K: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Dict(
            entries
                .into_iter()
                .map(|(key, value)| (key.as_ref().to_vec(), value))
                .collect(),
        )
    }

    /// The bencoded bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => out.extend_from_slice(format!("i{number}e").as_bytes()),
            Self::Bytes(bytes) => encode_bytes(bytes, out),
            Self::List(items) => {
                out.push(b'l');
                for item in items {
                    item.encode_to(out);
                }
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    encode_bytes(key, out);
                    value.encode_to(out);
                }
                out.push(b'e');
            }
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// The value at the start of `input`, and how many bytes it takes; `None` if there is none.
    pub fn decode(input: &[u8]) -> Option<(Self, usize)> {
        decode(input, 0, 0)
    }

    /// The value under `key`, if this is a dictionary that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.get(key.as_bytes()),
            _ => None,
        }
    }

    /// The integer under `key`.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The string under `key`.
    pub fn string(&self, key: &str) -> Option<&[u8]> {
        match self.get(key)? {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The list under `key`.
    pub fn list(&self, key: &str) -> Option<&[Self]> {
        match self.get(key)? {
            Self::List(items) => Some(items),
            _ => None,
        }
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

fn decode(input: &[u8], mut at: usize, depth: usize) -> Option<(Value, usize)> {
    if depth > 32 {
        return None;
    }
    match input.get(at)? {
        b'i' => {
            let end = at + input[at..].iter().position(|&byte| byte == b'e')?;
            let number = std::str::from_utf8(&input[at + 1..end])
                .ok()?
                .parse()
                .ok()?;
            Some((Value::Int(number), end + 1))
        }
        b'l' => {
            let mut items = Vec::new();
            at += 1;
            while *input.get(at)? != b'e' {
                let (item, next) = decode(input, at, depth + 1)?;
                items.push(item);
                at = next;
            }
            Some((Value::List(items), at + 1))
        }
        b'd' => {
            let mut entries = BTreeMap::new();
            at += 1;
            while *input.get(at)? != b'e' {
                let (Value::Bytes(key), next) = decode(input, at, depth + 1)? else {
                    return None;
                };
                let (value, next) = decode(input, next, depth + 1)?;
                entries.insert(key, value);
                at = next;
            }
            Some((Value::Dict(entries), at + 1))
        }
        b'0'..=b'9' => {
            let colon = at + input[at..].iter().position(|&byte| byte == b':')?;
            let length: usize = std::str::from_utf8(&input[at..colon]).ok()?.parse().ok()?;
            let end = (colon + 1).checked_add(length)?;
            Some((Value::bytes(input.get(colon + 1..end)?), end))
        }
        _ => None,
    }
}

/// The 68 bytes of a handshake (BEP 3). `extended` sets the bit of the extension protocol (BEP 10).
pub fn handshake(infohash: &[u8], peer_id: &[u8], extended: bool) -> Vec<u8> {
    let mut out = b"\x13BitTorrent protocol".to_vec();
    out.extend_from_slice(&[0, 0, 0, 0, 0, if extended { 0x10 } else { 0 }, 0, 0]);
    out.extend_from_slice(infohash);
    out.extend_from_slice(peer_id);
    out
}

/// A message with its length prefix.
pub fn message(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).unwrap();
    let mut out = length.to_be_bytes().to_vec();
    out.push(id);
    out.extend_from_slice(payload);
    out
}

/// An extension message (BEP 10): id 20, the extension's id, a dictionary, and bytes after it.
pub fn extended(extension: u8, dict: &Value, tail: &[u8]) -> Vec<u8> {
    let mut payload = vec![extension];
    dict.encode_to(&mut payload);
    payload.extend_from_slice(tail);
    message(20, &payload)
}

/// An extension handshake. `None` leaves the field out.
pub fn extension_handshake(ut_metadata: Option<u8>, metadata_size: Option<i64>) -> Vec<u8> {
    extension_handshake_with(ut_metadata, metadata_size, 250)
}

/// The same of a peer that queues `reqq` requests.
pub fn extension_handshake_with(
    ut_metadata: Option<u8>,
    metadata_size: Option<i64>,
    reqq: usize,
) -> Vec<u8> {
    let mut ids = vec![("ut_pex", Value::Int(1))];
    ids.extend(ut_metadata.map(|id| ("ut_metadata", Value::Int(i64::from(id)))));
    let mut entries = vec![
        ("m", Value::dict(ids)),
        ("reqq", Value::Int(i64::try_from(reqq).unwrap())),
        ("v", Value::bytes("swarm 1")),
    ];
    entries.extend(metadata_size.map(|size| ("metadata_size", Value::Int(size))));
    extended(0, &Value::dict(entries), &[])
}

/// An extension handshake that says what it must, and otherwise what clients in the wild, and others, say:
/// unknown keys, odd types, keys out of order and twice, two extensions under one id, bytes after the end.
pub fn odd_extension_handshake(ut_metadata: u8, metadata_size: usize) -> Vec<u8> {
    let text = format!(
        "d1:vi7e4:reqq3:all6:yourip2:us1:pi-5e13:metadata_sizei{metadata_size}e1:e4:none\
         3:fool3:barlee1:md6:ut_pexi{ut_metadata}e11:ut_metadatai{ut_metadata}e\
         8:lt_fieldi999e3:odd3:ids11:ut_metadatai{ut_metadata}ee"
    );
    message(20, &[&[0], text.as_bytes(), b"eafter the end"].concat())
}

/// The block `piece` of `info`, empty beyond its end.
pub fn block(info: &[u8], piece: i64) -> &[u8] {
    let start = usize::try_from(piece)
        .ok()
        .and_then(|piece| piece.checked_mul(BLOCK))
        .unwrap_or(usize::MAX);
    let end = start.saturating_add(BLOCK).min(info.len());
    info.get(start..end).unwrap_or_default()
}

/// The next whole message (without its length prefix) of `buffer`, taken out of it. A keep-alive is
/// empty. `Err` for a message over 1 MiB.
pub fn take_message(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, std::io::Error> {
    let Some(prefix) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > 1 << 20 {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    let message = buffer[4..4 + length].to_vec();
    buffer.drain(..4 + length);
    Ok(Some(message))
}

/// IP and port in network byte order: 6 bytes of IPv4 (BEP 23), 18 bytes of IPv6 (BEP 7).
pub fn compact(addr: SocketAddr) -> Vec<u8> {
    let mut out = match addr.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    out.extend_from_slice(&addr.port().to_be_bytes());
    out
}

/// The IPv4 endpoint in 6 compact bytes.
pub fn from_compact(bytes: &[u8]) -> Option<SocketAddr> {
    let &[a, b, c, d, high, low] = bytes else {
        return None;
    };
    Some(SocketAddr::from((
        [a, b, c, d],
        u16::from_be_bytes([high, low]),
    )))
}

/// `SplitMix64`: the same numbers from the same seed, whatever version of whatever crate.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is above 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 8);
        while out.len() < length {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(length);
        out
    }

    /// 20 bytes: an id of a node, or the like.
    pub fn id(&mut self) -> [u8; 20] {
        self.bytes(20).try_into().unwrap()
    }
}
