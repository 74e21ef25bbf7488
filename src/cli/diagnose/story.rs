//! The steps of each peer, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::verdict::Verdict;
use crate::cli::listing::printable;
use crate::direct::{Event, Step};
use crate::engine::{Diagnosis, Origin, PeerStory, Resolution, timestamp};

/// A line for each step of a peer, and one for its end.
pub(super) fn text(story: &PeerStory) -> String {
    let mut text = format!("\n{} (from {}", story.addr, story.source.as_str());
    match story.reports {
        0 => text += ", a node of the DHT)\n",
        1 => text += ")\n",
        more => {
            let _ = writeln!(text, ", named {more} times)");
        }
    }
    for step in &story.steps {
        line(&mut text, &milliseconds(step.at), &said(step));
    }
    let end = match &story.result {
        Ok(bytes) => format!("delivered: {bytes} bytes, and their hash is right"),
        Err(failure) => format!("{failure}"),
    };
    line(&mut text, &milliseconds(story.elapsed), &end);
    text
}

fn line(text: &mut String, at: &str, what: &str) {
    let _ = writeln!(text, "  {at:>10}  {}", printable(what));
}

fn milliseconds(time: std::time::Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn said(step: &Step) -> String {
    let times = match step.times {
        1 => String::new(),
        times => format!(" ({times} times)"),
    };
    match &step.event {
        Event::Dialling { encrypted: false } => "we open a connection".to_owned(),
        Event::Dialling { encrypted: true } => {
            "we open a connection, to encrypt it (MSE)".to_owned()
        }
        Event::Connected => "connected".to_owned(),
        Event::Unanswered { why } => format!("no handshake: {why}"),
        Event::KeysExchanged { rc4: true } => "keys exchanged, all is encrypted".to_owned(),
        Event::KeysExchanged { rc4: false } => {
            "keys exchanged, what follows is in the clear".to_owned()
        }
        Event::Handshake(seen) => format!(
            "handshake: {} (peer id {}), supports {}",
            seen.client.as_deref().unwrap_or("a client without a name"),
            seen.peer_id,
            match seen.supports.as_slice() {
                [] => "nothing more".to_owned(),
                some => some.join(", "),
            }
        ),
        Event::ExtensionHandshake(seen) => {
            let number = |number: Option<i64>| number.map_or("none".to_owned(), |n| n.to_string());
            format!(
                "extension handshake: {}, ut_metadata {}, metadata_size {}, reqq {}; {}",
                seen.client.as_deref().unwrap_or("no name"),
                number(seen.ut_metadata.map(i64::from)),
                number(seen.metadata_size),
                number(seen.reqq.map(i64::from)),
                seen.whole,
            )
        }
        Event::Message { name, bytes: 0 } => format!("{name}{times}"),
        Event::Message { name, bytes } => format!("{name}, {bytes} bytes{times}"),
        Event::Requested { first, blocks: 1 } => format!("we ask for block {first}"),
        Event::Requested { first, blocks } => {
            format!("we ask for {blocks} blocks, from block {first} on")
        }
        Event::Block { piece, bytes } => format!("block {piece}, {bytes} bytes"),
        Event::Rejected { piece } => format!("it rejects block {piece}"),
        Event::Nudged => format!("we send a keep-alive, since nothing comes{times}"),
    }
}

/// What the engine made of it.
pub(super) fn every_way(resolution: &Resolution) -> String {
    match &resolution.result {
        Ok(resolved) => {
            let by = match resolved.origin {
                Origin::Peer(arm, peer) => format!("by {arm} from {peer}"),
                Origin::Store => "from the store".to_owned(),
            };
            let name = printable(&resolved.info.name);
            format!(
                "resolved {by} in {}: {name}",
                milliseconds(resolution.elapsed)
            )
        }
        Err(unresolved) => {
            let attempts: Vec<String> = unresolved
                .attempts
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            let failure = printable(&unresolved.failure.to_string());
            format!("{failure} [{}]", attempts.join(", "))
        }
    }
}

/// All of it.
pub(super) fn json(diagnosis: &Diagnosis, verdict: &Verdict) -> Value {
    let remembered = diagnosis.remembered.as_ref().map(|it| {
        json!({
            "blocked": it.blocked,
            "resolved": it.resolved,
            "failed": it.failed.as_ref().map(|failed| json!({
                "failures": failed.failures,
                "reason": failed.reason,
                "phase": failed.phase,
                "detail": failed.detail,
                "retry_at": timestamp(failed.retry_at_ms),
            })),
        })
    });
    let lookup = diagnosis.lookup.map(|it| {
        json!({
            "asked": it.asked,
            "answered": it.answered,
            "wrong_ids": it.wrong_ids,
            "converged": it.converged,
            "peers": it.peers,
        })
    });
    let peers: Vec<Value> = diagnosis.peers.iter().map(peer).collect();
    json!({
        "infohash": diagnosis.wanted.infohash.to_string(),
        "store": remembered,
        "dht": lookup,
        "found": diagnosis.found,
        "refused": diagnosis.refused,
        "peers": peers,
        "resolution": diagnosis.resolution.as_ref().map(Resolution::line),
        "resolves": verdict.resolves,
        "reason": verdict.reason,
        "verdict": verdict.sentence,
        "advice": verdict.advice,
    })
}

fn peer(story: &PeerStory) -> Value {
    let failure = story.result.as_ref().err();
    json!({
        "peer": story.addr,
        "source": story.source.as_str(),
        "reports": story.reports,
        "client": story.client,
        "encrypted": story.encrypted,
        "steps": story.steps,
        "delivered": story.result.is_ok(),
        "metadata_size": story.result.as_ref().ok(),
        "reason": failure.map(|failure| failure.reason),
        "phase": failure.map(|failure| failure.phase),
        "detail": failure.map(|failure| failure.detail.as_str()),
        "elapsed_ms": story.elapsed.as_secs_f64() * 1e3,
    })
}
