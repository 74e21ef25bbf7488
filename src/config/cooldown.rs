//! How long hashes that failed are left alone: changes to the cooldowns that hold otherwise.

use std::fmt;
use std::time::Duration;

use super::value;
use crate::engine::Cooldowns;
use crate::torrent::{Category, Reason};

/// The longest cooldown.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cooldown {
    /// No cooldown at all.
    Off,
    /// How long after a failure for this reason; zero for no cooldown.
    Reason(Reason, Duration),
    /// The least after the second, third, … failure in a row.
    Growth(Vec<Duration>),
}

impl Cooldown {
    /// From `off`, `REASON=TIME`, `REASON=off` or `growth=TIME,TIME,…`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let (name, value) = text.split_once('=').ok_or(
            "expected REASON=TIME, REASON=off, growth=TIME,TIME,… or off; as in no_peers=10m",
        )?;
        if name == "growth" {
            return match value {
                "off" => Ok(Self::Growth(Vec::new())),
                times => times
                    .split(',')
                    .map(duration)
                    .collect::<Result<_, _>>()
                    .map(Self::Growth),
            };
        }
        let reason = reason(name)?;
        if reason.category() == Category::Local {
            return Err(format!(
                "{reason} says nothing about a hash: it has no cooldown"
            ));
        }
        let wait = match value {
            "off" => Duration::ZERO,
            time => duration(time)?,
        };
        Ok(Self::Reason(reason, wait))
    }

    /// The cooldowns with these changes; of two for the same the later one counts.
    pub(super) fn apply(changes: Vec<Self>) -> Cooldowns {
        let mut cooldowns = Cooldowns::default();
        for change in changes {
            match change {
                Self::Off => cooldowns.off = true,
                Self::Reason(reason, wait) => {
                    cooldowns.reasons.insert(reason, wait);
                }
                Self::Growth(growth) => cooldowns.growth = growth,
            }
        }
        cooldowns
    }
}

impl fmt::Display for Cooldown {
    /// As [`Cooldown::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: &Duration| {
            let time = humantime::format_duration(*time).to_string();
            time.replace(' ', "")
        };
        match self {
            Self::Off => f.write_str("off"),
            Self::Reason(reason, Duration::ZERO) => write!(f, "{reason}=off"),
            Self::Reason(reason, wait) => write!(f, "{reason}={}", time(wait)),
            Self::Growth(growth) if growth.is_empty() => f.write_str("growth=off"),
            Self::Growth(growth) => {
                let times: Vec<String> = growth.iter().map(time).collect();
                write!(f, "growth={}", times.join(","))
            }
        }
    }
}

/// A reason by its name.
pub(crate) fn reason(text: &str) -> Result<Reason, String> {
    text.parse().map_err(|()| {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("no such reason; there are {}", names.join(", "))
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    match value::duration(text)? {
        long if long > LONGEST => Err("it must not be longer than ten years".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_to_cooldowns() {
        let changes = [
            "no_peers=30s",
            "refused=off",
            "growth=1m,2m",
            "no_peers=40s",
        ];
        let changes = changes.map(|text| Cooldown::parse(text).unwrap());
        for change in &changes {
            assert_eq!(Cooldown::parse(&change.to_string()).as_ref(), Ok(change));
        }
        let cooldowns = Cooldown::apply(changes.to_vec());
        let seconds = |reason, failures| cooldowns.after(reason, failures).unwrap().as_secs();
        assert_eq!(seconds(Reason::NoPeers, 1), 40);
        assert_eq!(seconds(Reason::NoPeers, 2), 60);
        assert_eq!(seconds(Reason::NoPeers, 9), 120);
        assert_eq!(seconds(Reason::Refused, 9), 0);
        let off = Cooldown::apply(vec![Cooldown::parse("off").unwrap()]);
        assert!(off.off);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in [
            "",
            "no_peers",
            "no_peers=",
            "no_peers=soon",
            "nobody=5m",
            "cancelled=5m",
            "growth=",
            "no_peers=99999999d",
        ] {
            assert!(Cooldown::parse(text).is_err(), "{text}");
        }
    }
}
