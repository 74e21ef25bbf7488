//! What was found out about a hash, as JSON.

use serde_json::{Value, json};

use super::{Diagnosis, PeerStory, Verdict};
use crate::engine::{Resolution, timestamp};

impl Diagnosis {
    /// All of it, as one JSON object.
    #[must_use]
    pub fn json(&self, verdict: &Verdict) -> Value {
        json(self, verdict)
    }
}

impl PeerStory {
    /// It, as one JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        peer(self)
    }
}

fn json(diagnosis: &Diagnosis, verdict: &Verdict) -> Value {
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
        "sources": story.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>(),
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
