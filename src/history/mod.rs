//! What is known of peers, from the attempts at them.
//!
//! | file | what lives there |
//! |---|---|
//! | `attempt` | [`Attempt`]: one attempt, and how it ended |
//! | `peer_state` | [`PeerState`]: what all attempts at a peer add up to |
//! | `weights` | [`Weights`]: counts that fade, each kind with a half-life |
//! | `tracker_state` | [`TrackerState`]: what all announces to a tracker add up to |
//! | `quantiles` | [`Quantiles`]: durations in a few bytes |

mod attempt;
mod peer_state;
mod quantiles;
mod tracker_state;
mod weights;

pub use attempt::Attempt;
pub use peer_state::PeerState;
pub use quantiles::Quantiles;
pub use tracker_state::{TrackerReply, TrackerState};
pub use weights::Weights;
