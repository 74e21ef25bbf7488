//! What is known of peers, from the attempts at them.
//!
//! | file | what lives there |
//! |---|---|
//! | `attempt` | [`Attempt`]: one attempt, and how it ended |
//! | `peer_state` | [`PeerState`]: what all attempts at a peer add up to |
//! | `weights` | [`Weights`]: counts that fade, each kind with a half-life |
//! | `quantiles` | [`Quantiles`]: durations in a few bytes |

mod attempt;
mod peer_state;
mod quantiles;
mod weights;

pub use attempt::Attempt;
pub use peer_state::PeerState;
pub use quantiles::Quantiles;
pub use weights::Weights;
