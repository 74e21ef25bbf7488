//! What the daemon logs, and where traces go.

use std::fmt;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::value::{Given, Setting, quoted};
use crate::telemetry::{HASH, TRACE};

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object of JSON in each line.
    Json,
}

impl Setting for LogFormat {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given.text() {
            Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            _ => Err(String::new()),
        }
    }

    fn write(&self) -> Option<String> {
        let name = match self {
            Self::Text => "text",
            Self::Json => "json",
        };
        Some(quoted(name))
    }
}

/// Which lines the log has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

/// The target of the lines that say why a peer or an arm was chosen.
const EXPLAIN: &str = "metafetch::explain";

impl LogFilter {
    /// From a level, or levels by module: `info,metafetch::store=debug`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A word that is no level would be taken as the name of a module.
        let is_level = |part: &str| {
            part.contains('=') || !part.is_empty() && part.parse::<LevelFilter>().is_ok()
        };
        if let Some(part) = text.split(',').map(str::trim).find(|part| !is_level(part)) {
            return Err(format!("`{part}` is no level, and no MODULE=LEVEL"));
        }
        text.parse::<Targets>().map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    /// As the log takes it. A level alone is that of this program: of its libraries only warnings are shown. Each choice of
    /// a peer is explained from `debug` on. With `traces` there are spans for these.
    #[must_use]
    pub fn targets(&self, traces: bool) -> Targets {
        // It was read before.
        let given: Targets = self.0.parse().unwrap_or_default();
        let level = given.default_level().unwrap_or(LevelFilter::OFF);
        let explains = if level >= LevelFilter::DEBUG {
            LevelFilter::INFO
        } else {
            LevelFilter::OFF
        };
        Targets::new()
            .with_default(level.min(LevelFilter::WARN))
            .with_target("metafetch", level)
            .with_target(EXPLAIN, explains)
            .with_targets(given.into_iter().filter(|(target, _)| !target.is_empty()))
            .with_target(HASH, LevelFilter::TRACE)
            .with_target(
                TRACE,
                if traces {
                    LevelFilter::TRACE
                } else {
                    LevelFilter::OFF
                },
            )
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Setting for LogFilter {
    fn read(given: Given<'_>) -> Result<Self, String> {
        Self::parse(given.text().ok_or_else(String::new)?)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// Where an OpenTelemetry collector takes traces by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpUrl(String);

impl OtlpUrl {
    /// From `http://HOST[:PORT][/PATH]`; without a path it is `/v1/traces`.
    ///
    /// # Errors
    /// What is wrong with it, or that this program was built without OpenTelemetry.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !cfg!(feature = "opentelemetry") {
            return Err(
                "this program was built without OpenTelemetry: leave the key out, or build it \
                 with `cargo build --release --features opentelemetry`"
                    .to_owned(),
            );
        }
        let uri: axum::http::Uri = text
            .parse()
            .map_err(|error: axum::http::uri::InvalidUri| error.to_string())?;
        if uri.scheme_str() != Some("http") {
            return Err(
                "only http:// is spoken: for TLS run a collector on this host, which sends them on"
                    .to_owned(),
            );
        }
        if uri.host().is_none_or(str::is_empty) || text.contains('@') {
            return Err("it has no host, or a password".to_owned());
        }
        Ok(Self(match uri.path() {
            "" | "/" => format!("{}/v1/traces", text.trim_end_matches('/')),
            _ => text.to_owned(),
        }))
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for OtlpUrl {
    fn read(given: Given<'_>) -> Result<Self, String> {
        Self::parse(given.text().ok_or_else(String::new)?)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn shows(filter: &str, target: &str, level: Level) -> bool {
        let filter = LogFilter::parse(filter).unwrap();
        filter.targets(false).would_enable(target, &level)
    }

    #[test]
    fn a_level_alone_is_that_of_this_program() {
        assert!(shows("debug", "metafetch::store", Level::DEBUG));
        assert!(!shows("debug", "hyper", Level::INFO));
        assert!(shows("debug", "hyper", Level::WARN));
        assert!(!shows("error", "hyper", Level::WARN));
        assert!(shows("info,hyper=debug", "hyper", Level::DEBUG));
        assert!(shows(
            "warn,metafetch::store=debug",
            "metafetch::store",
            Level::DEBUG
        ));
        assert!(!shows(
            "warn,metafetch::store=debug",
            "metafetch::engine",
            Level::INFO
        ));
    }

    #[test]
    fn choices_are_explained_from_debug_on_or_when_they_are_asked_for() {
        assert!(!shows("info", EXPLAIN, Level::INFO));
        assert!(shows("debug", EXPLAIN, Level::INFO));
        assert!(shows("info,metafetch::explain=info", EXPLAIN, Level::INFO));
    }

    #[test]
    fn every_line_says_which_hash_it_is_about() {
        assert!(shows("error", HASH, Level::ERROR));
        assert!(shows("off", HASH, Level::ERROR));
        assert!(!shows("trace", TRACE, Level::ERROR));
        let traced = LogFilter::default().targets(true);
        assert!(traced.would_enable(TRACE, &Level::ERROR));
    }

    #[test]
    fn filters_that_are_none_are_refused() {
        for wrong in ["", "  ", "loud", "metafetch=loud"] {
            assert!(LogFilter::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[cfg(not(feature = "opentelemetry"))]
    #[test]
    fn without_opentelemetry_its_key_is_refused_with_what_to_do() {
        let error = OtlpUrl::parse("http://127.0.0.1:4318").unwrap_err();
        assert!(error.contains("--features opentelemetry"), "{error}");
    }

    #[cfg(feature = "opentelemetry")]
    #[test]
    fn a_collector_is_an_http_url() {
        let url = |text| OtlpUrl::parse(text).map(|url| url.as_str().to_owned());
        let usual = Ok("http://127.0.0.1:4318/v1/traces".to_owned());
        assert_eq!(url("http://127.0.0.1:4318"), usual);
        assert_eq!(url("http://127.0.0.1:4318/"), usual);
        assert_eq!(url("http://c/x"), Ok("http://c/x".to_owned()));
        for wrong in ["", "https://c", "c:4318", "http://u:p@c", "http:///x"] {
            assert!(url(wrong).is_err(), "{wrong:?}");
        }
    }
}
