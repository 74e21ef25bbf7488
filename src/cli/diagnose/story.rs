//! The steps of each peer, as text.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::listing::printable;
use crate::direct::{Event, Step};
use crate::engine::{Origin, PeerStory, Resolution};

/// A deadline that fires later than this is worth a word.
const WORTH_TELLING: Duration = Duration::from_millis(100);

/// A line for each step of a peer, and one for its end.
pub(in crate::cli) fn text(story: &PeerStory) -> String {
    let sources: Vec<_> = story.sources.iter().map(|it| it.as_str()).collect();
    let mut text = format!("\n{} (from {}", story.addr, sources.join(", "));
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

fn milliseconds(time: Duration) -> String {
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
        Event::WrongMixture => {
            "what it and others sent is not this torrent's: we ask it for all of it".to_owned()
        }
        Event::PeersNamed { peers } => format!("it names {peers} other peers"),
        Event::TimeOver { after, late, .. } => {
            let late = if *late < WORTH_TELLING {
                String::new()
            } else {
                format!(", {late:.1?} more than it was to have: this host is busy")
            };
            format!("its time is over, after {after:.1?}{late}")
        }
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
