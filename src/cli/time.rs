//! Points in time and spans, as people read and write them.

use std::time::Duration;

pub(super) use crate::config::duration;

/// Now, in UTC unix milliseconds.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// `2026-11-21 13:05:00Z`, which may be wrapped between date and time.
pub(super) fn at(unix_ms: i64) -> String {
    crate::engine::timestamp(unix_ms).map_or_else(
        || "never".to_owned(),
        |timestamp| timestamp.replace('T', " "),
    )
}

/// A span in its two largest units: `1h 5m`.
pub(super) fn span(ms: i64) -> String {
    const UNITS: [(i64, i64, &str); 4] = [
        (86_400, i64::MAX, "d"),
        (3_600, 24, "h"),
        (60, 60, "m"),
        (1, 60, "s"),
    ];
    let seconds = ms.max(0) / 1_000;
    let units: Vec<String> = UNITS
        .iter()
        .map(|(unit, next, name)| (seconds / unit % next, name))
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count}{name}"))
        .collect();
    if units.is_empty() {
        return "0s".to_owned();
    }
    units.join(" ")
}

/// How long ago that was.
pub(super) fn ago(unix_ms: i64, now_ms: i64) -> String {
    format!("{} ago", span(now_ms.saturating_sub(unix_ms)))
}

/// How long until then; `never` for the end of time.
pub(super) fn left(unix_ms: i64, now_ms: i64) -> String {
    if unix_ms == i64::MAX {
        return "never".to_owned();
    }
    match unix_ms.saturating_sub(now_ms) {
        left if left > 0 => format!("in {}", span(left)),
        _ => "now".to_owned(),
    }
}

/// The time so long before now, in UTC unix milliseconds.
pub(super) fn before_now(span: Duration) -> i64 {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    now_ms().saturating_sub(span)
}

/// How long something is kept; `None` for ever. Not a bare `Option`, which clap would take for an option
/// not given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept(pub(super) Option<Duration>);

/// A time such as `30d`, or `never`.
pub(super) fn kept(text: &str) -> Result<Kept, String> {
    if text == "never" {
        return Ok(Kept(None));
    }
    humantime::parse_duration(text)
        .map(|duration| Kept(Some(duration)))
        .map_err(|error| format!("{error}; write it as in 30d, 12h or never"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_and_may_lie_on_either_side() {
        assert_eq!(span(3_905_000), "1h 5m");
        assert_eq!(span(-5), "0s");
        assert_eq!(span(86_400_000 * 400 + 60_000), "400d");
        assert_eq!(span(60_000), "1m");
        assert_eq!(left(10_000, 4_000), "in 6s");
        assert_eq!(left(4_000, 10_000), "now");
        assert_eq!(left(i64::MAX, 0), "never");
        assert_eq!(ago(1_000, 62_000), "1m 1s ago");
        assert_eq!(at(0), "1970-01-01 00:00:00Z");
        assert_eq!(at(i64::MAX), "never");
    }
}
