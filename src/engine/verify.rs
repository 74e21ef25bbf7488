//! Verify: are these bytes the info dictionary of that hash, and is the dictionary sane?

use std::time::Instant;

use super::observe;
use crate::torrent::{Failure, Info, Infohash, Phase, Reason};

/// Above this many bytes, hashing and parsing leave the async workers.
const INLINE: usize = 256 * 1024;

/// Checks the hash, whichever arm the bytes came from, and reads the dictionary. Both arms have checked it by then,
/// to tell which peer lies. Once more takes 0.02 ms for a dictionary of 30 kB, and makes this station the one that
/// nothing wrong can pass.
///
/// # Errors
/// [`Reason::HashMismatch`], or [`Reason::InvalidInfoDict`] for a dictionary which has the right
/// hash and which no client could use.
pub(super) async fn verify(infohash: Infohash, raw: Vec<u8>) -> Result<(Info, Vec<u8>), Failure> {
    let began = Instant::now();
    let verified = check_where_it_may_block(infohash, raw).await;
    let failure = verified.as_ref().err();
    let outcome = failure.map_or("ok", |failure| failure.reason.as_str());
    observe::left("verify", outcome, began);
    verified
}

async fn check_where_it_may_block(
    infohash: Infohash,
    raw: Vec<u8>,
) -> Result<(Info, Vec<u8>), Failure> {
    if raw.len() <= INLINE {
        return check(infohash, raw);
    }
    match tokio::task::spawn_blocking(move || check(infohash, raw)).await {
        Ok(result) => result,
        Err(error) => Err(Failure::new(
            Reason::Internal,
            Phase::Verify,
            error.to_string(),
        )),
    }
}

fn check(infohash: Infohash, raw: Vec<u8>) -> Result<(Info, Vec<u8>), Failure> {
    if !infohash.matches(&raw) {
        let detail = format!("{} bytes do not have the hash {infohash}", raw.len());
        return Err(Failure::new(Reason::HashMismatch, Phase::Verify, detail));
    }
    let info = Info::parse(&raw)
        .map_err(|error| Failure::new(Reason::InvalidInfoDict, Phase::Verify, error.to_string()))?;
    Ok((info, raw))
}
