//! What a diagnosis comes to, in a sentence, and what can be done.

use super::Diagnosis;
use crate::engine::Origin;
use crate::torrent::{Failure, Reason};

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it resolves.
    pub resolves: bool,
    /// Why not; `None` where it resolves.
    pub reason: Option<Reason>,
    /// What was found out, in a sentence.
    pub sentence: String,
    /// What to do; empty where nothing need be done.
    pub advice: &'static str,
}

impl Verdict {
    /// Of what was found out.
    #[must_use]
    pub fn of(diagnosis: &Diagnosis) -> Self {
        if let Some(story) = diagnosis.peers.iter().find(|story| story.result.is_ok()) {
            let client = story.client.as_deref().unwrap_or("a client without a name");
            return Self::resolves(format!(
                "it resolves: {} ({client}) delivered over TCP in {:.0} ms",
                story.addr,
                story.elapsed.as_secs_f64() * 1e3
            ));
        }
        if diagnosis.remembered.as_ref().is_some_and(|it| it.blocked) {
            return Self::failed(Reason::Blocked, "it is on the blocklist".to_owned());
        }
        if let Some(Ok(resolved)) = diagnosis.resolution.as_ref().map(|it| &it.result) {
            return Self::resolves(match resolved.origin {
                Origin::Peer(arm, peer) => format!(
                    "it resolves, but not by a plain TCP connection: {peer} delivered to the {arm} arm"
                ),
                Origin::Store => "it resolves: it is in the store".to_owned(),
            });
        }
        let Some(failure) = diagnosis.failure() else {
            return Self::failed(Reason::Cancelled, "it was ended before".to_owned());
        };
        let mut sentence = sentence(diagnosis, &failure);
        let (unasked, tried) = (diagnosis.unasked(), diagnosis.peers.len());
        if unasked == 0 {
            return Self::failed(failure.reason, sentence);
        }
        // What was not asked may well have it.
        sentence = format!(
            "our own limits kept us from asking {unasked} of the {tried} peers that were to be asked, so it may \
             resolve all the same; of the others: {sentence}"
        );
        Self {
            advice: LIMITED,
            ..Self::failed(failure.reason, sentence)
        }
    }

    fn resolves(sentence: String) -> Self {
        Self {
            resolves: true,
            reason: None,
            sentence,
            advice: "",
        }
    }

    fn failed(reason: Reason, sentence: String) -> Self {
        Self {
            resolves: false,
            reason: Some(reason),
            sentence,
            advice: advice(reason),
        }
    }
}

/// What to do where our own limits were the cause.
const LIMITED: &str = "ask again when less is going on, with a longer --timeout, or raise limits.connections and its \
                       like (`metafetch config show` has them)";

fn sentence(diagnosis: &Diagnosis, failure: &Failure) -> String {
    let found = diagnosis.found;
    let what = match failure.reason {
        Reason::NoPeers => {
            return match &diagnosis.lookup {
                Some(lookup) if lookup.answered == 0 => {
                    "no node of the DHT answered us: that says nothing about the hash".to_owned()
                }
                Some(lookup) if lookup.converged => format!(
                    "nobody has it, as far as the DHT knows: {} nodes answered, the closest ones to \
                     the hash among them, and none of them names a peer",
                    lookup.answered
                ),
                _ => format!("no peer is known: {}", failure.detail),
            };
        }
        Reason::ConnectTimeout | Reason::Unreachable | Reason::Refused => {
            "none of them takes a connection from here"
        }
        Reason::Closed | Reason::Reset => "those that take a connection close it",
        Reason::HandshakeTimeout => "those that take a connection say nothing",
        Reason::WrongInfohash => "those that answer do so for another torrent",
        Reason::SelfConnection => "it is metafetch itself",
        Reason::EncryptionRequired => "those that answer want an encryption that fails",
        Reason::NoExtensionProtocol | Reason::NoUtMetadata => {
            "those that answer do not have the metadata, or can't pass it on"
        }
        Reason::MetadataSizeInvalid => "the size that they claim for it is not acceptable",
        Reason::Rejected => "they have it, and refuse to give it",
        Reason::TransferTimeout => "they have it, and stop sending before it is whole",
        Reason::ProtocolViolation => "they do not keep to the protocol",
        Reason::HashMismatch => "what they send is not what the hash stands for",
        Reason::InvalidInfoDict => "what they send has the hash, and is no usable torrent",
        Reason::Cooldown | Reason::Blocked | Reason::Cancelled | Reason::Internal => {
            return failure.detail.clone();
        }
    };
    format!("{found} peers are known, and {what}: {}", failure.detail)
}

fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::NoPeers => {
            "name a --tracker or a --peer if you know one; `metafetch doctor` says whether this host \
             reaches the DHT; else try again in some hours"
        }
        Reason::ConnectTimeout | Reason::Refused | Reason::Unreachable => {
            "most peers are behind a NAT: open a port (--listen) so that they can come to you, or try \
             again when others are there"
        }
        Reason::Closed | Reason::Reset | Reason::HandshakeTimeout | Reason::Rejected => {
            "they may be full: try again in a few minutes"
        }
        Reason::TransferTimeout => "try again, with a longer --timeout",
        Reason::NoExtensionProtocol | Reason::NoUtMetadata => {
            "wait for a peer that has it: those that are there may have begun themselves just now"
        }
        Reason::EncryptionRequired
        | Reason::MetadataSizeInvalid
        | Reason::ProtocolViolation
        | Reason::HashMismatch
        | Reason::WrongInfohash
        | Reason::SelfConnection => "wait for other peers, or name one with --peer",
        Reason::InvalidInfoDict => "nothing: the torrent is broken for everybody",
        Reason::Cooldown => "wait, or `metafetch failed remove HASH`",
        Reason::Blocked => {
            "`metafetch block check HASH` says on which list, `block remove` takes it off"
        }
        Reason::Cancelled => "run it again",
        Reason::Internal => "see to what the verdict names; -vv says more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_something_to_do_for_every_reason() {
        for &reason in Reason::ALL {
            assert!(!advice(reason).is_empty(), "{reason}");
        }
    }
}
