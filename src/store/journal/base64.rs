//! Bytes as base64 in a journal's JSON, where a list of numbers would be three times as long.

use data_encoding::BASE64;
use serde::{Deserialize as _, Deserializer, Serializer, de};

/// For `serde(with)`.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

/// For `serde(with)`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64.decode(text.as_bytes()).map_err(de::Error::custom)
}
