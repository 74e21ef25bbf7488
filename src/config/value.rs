//! How values are read from a file or a variable, and written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use toml::de::DeValue;

use super::Cooldown;
use super::error::shown;
use crate::engine::Strategy;
use crate::proxy::{Proxy, ProxyUrlError};
use crate::store::StoreUrl;
use crate::torrent::{Encryption, PeerHint, is_tracker};

/// A value as it is given.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// In a file.
    Toml(&'a DeValue<'a>),
    /// In a variable, where everything is text.
    Word(&'a str),
}

impl<'a> Given<'a> {
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Word(word) => Some(word),
        }
    }

    fn whole(self) -> Option<i64> {
        match self {
            Self::Toml(value) => {
                let integer = value.as_integer()?;
                i64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            Self::Word(word) => word.trim().parse().ok(),
        }
    }

    fn switch(self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.as_bool(),
            Self::Word(word) => match word.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
        }
    }

    /// The items of a list; in a variable they have white space between them.
    fn items(self) -> Option<Vec<Self>> {
        match self {
            Self::Toml(value) => {
                let items = value.as_array()?.iter();
                Some(items.map(|item| Self::Toml(item.get_ref())).collect())
            }
            Self::Word(word) => Some(word.split_whitespace().map(Self::Word).collect()),
        }
    }

    /// What it is, for messages.
    pub(super) fn described(self) -> String {
        match self {
            Self::Word(word) => format!("`{}`", shown(word)),
            Self::Toml(DeValue::String(text)) => format!("\"{}\"", shown(text)),
            Self::Toml(DeValue::Integer(integer)) => shown(integer.as_str()),
            Self::Toml(DeValue::Boolean(switch)) => switch.to_string(),
            Self::Toml(DeValue::Array(_)) => "a list".to_owned(),
            Self::Toml(DeValue::Table(_)) => "a section".to_owned(),
            Self::Toml(other) => format!("a {}", other.type_str()),
        }
    }
}

/// A type of values.
pub(super) trait Setting: Sized {
    /// Whether it may be a password, so that no message shows what was given.
    const HIDDEN: bool = false;

    /// Reads it. The error says what is wrong, as far as that is more than not being of this type.
    fn read(given: Given<'_>) -> Result<Self, String>;

    /// As a file has it, and without any password; `None` where nothing is set.
    fn write(&self) -> Option<String>;
}

/// Text in quotes, as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            _ if char.is_control() => quoted.extend(escaped(char)),
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// A control character as TOML escapes it.
fn escaped(char: char) -> Vec<char> {
    format!("\\u{:04X}", u32::from(char)).chars().collect()
}

/// No more than what was expected.
fn otherwise() -> String {
    String::new()
}

impl Setting for bool {
    fn read(given: Given<'_>) -> Result<Self, String> {
        given.switch().ok_or_else(otherwise)
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn read(given: Given<'_>) -> Result<Self, String> {
                let number = given.whole().ok_or_else(otherwise)?;
                number.try_into().map_err(|_| otherwise())
            }

            fn write(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32);

impl Setting for String {
    fn read(given: Given<'_>) -> Result<Self, String> {
        given.text().map(str::to_owned).ok_or_else(otherwise)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for PathBuf {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text().filter(|text| !text.is_empty());
        let text = text.ok_or_else(otherwise)?;
        if text.contains('\0') {
            return Err("a path has no NUL".to_owned());
        }
        Ok(text.into())
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

impl Setting for Duration {
    fn read(given: Given<'_>) -> Result<Self, String> {
        duration(given.text().ok_or_else(otherwise)?)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&humantime::format_duration(*self).to_string()))
    }
}

impl Setting for SocketAddr {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text().ok_or_else(otherwise)?;
        text.parse().map_err(|_| otherwise())
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Setting for IpAddr {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text().ok_or_else(otherwise)?;
        text.parse().map_err(|_| otherwise())
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

macro_rules! words {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn read(given: Given<'_>) -> Result<Self, String> {
                let text = given.text().ok_or_else(otherwise)?;
                Self::from_str(text, false).map_err(|_| otherwise())
            }

            fn write(&self) -> Option<String> {
                self.to_possible_value()
                    .map(|value| quoted(value.get_name()))
            }
        }
    )*};
}

words!(Strategy, Encryption);

impl Setting for Cooldown {
    fn read(given: Given<'_>) -> Result<Self, String> {
        Self::parse(given.text().ok_or_else(otherwise)?)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let items = given.items().ok_or_else(otherwise)?;
        let read = |(index, item): (usize, Given<'_>)| {
            T::read(item).map_err(|what| {
                let number = index.saturating_add(1);
                let item = if T::HIDDEN {
                    String::new()
                } else {
                    item.described()
                };
                let what = if what.is_empty() {
                    String::new()
                } else {
                    format!(": {what}")
                };
                format!("item {number} is {item}{what}")
            })
        };
        items.into_iter().enumerate().map(read).collect()
    }

    fn write(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(Setting::write).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

impl<T: Setting> Setting for Option<T> {
    const HIDDEN: bool = T::HIDDEN;

    fn read(given: Given<'_>) -> Result<Self, String> {
        T::read(given).map(Some)
    }

    fn write(&self) -> Option<String> {
        self.as_ref().and_then(Setting::write)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u32);

impl Setting for Bytes {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let bytes = match (given.whole(), given.text()) {
            (Some(bytes), _) => u64::try_from(bytes).map_err(|_| otherwise())?,
            (None, Some(text)) => text
                .parse::<bytesize::ByteSize>()
                .map_err(|_| otherwise())?
                .as_u64(),
            (None, None) => return Err(otherwise()),
        };
        bytes.try_into().map(Self).map_err(|_| otherwise())
    }

    fn write(&self) -> Option<String> {
        self.0.write()
    }
}

/// A number of bytes of something large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Setting for Size {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match (given.whole(), given.text()) {
            (Some(bytes), _) => bytes.try_into().map(Self).map_err(|_| otherwise()),
            (None, Some(text)) => text
                .parse::<bytesize::ByteSize>()
                .map(|size| Self(size.as_u64()))
                .map_err(|_| otherwise()),
            (None, None) => Err(otherwise()),
        }
    }

    fn write(&self) -> Option<String> {
        match i64::try_from(self.0) {
            Ok(bytes) => Some(bytes.to_string()),
            Err(_) => Some(quoted(&self.0.to_string())),
        }
    }
}

/// How long something is kept; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep(pub Option<Duration>);

impl Setting for Keep {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given.text().ok_or_else(otherwise)? {
            "never" => Ok(Self(None)),
            text => duration(text).map(|time| Self(Some(time))),
        }
    }

    fn write(&self) -> Option<String> {
        match self.0 {
            None => Some(quoted("never")),
            Some(time) => time.write(),
        }
    }
}

/// A host name or address and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort(String);

impl HostPort {
    /// From `HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse::<PeerHint>()
            .map(|hint| Self(hint.to_string()))
            .map_err(|error| error.to_string())
    }

    /// As `HOST:PORT`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for HostPort {
    fn read(given: Given<'_>) -> Result<Self, String> {
        Self::parse(given.text().ok_or_else(otherwise)?)
    }

    fn write(&self) -> Option<String> {
        self.0.write()
    }
}

/// The announce URL of a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerUrl(String);

impl TrackerUrl {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for TrackerUrl {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text().ok_or_else(otherwise)?;
        if !is_tracker(text) {
            return Err("a tracker's URL begins with udp://, http:// or https://".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn write(&self) -> Option<String> {
        self.0.write()
    }
}

/// A password. Its `Debug` does not show it, and nothing else does but [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Setting for Secret {
    const HIDDEN: bool = true;

    fn read(given: Given<'_>) -> Result<Self, String> {
        given.text().map(Self::new).ok_or_else(otherwise)
    }

    fn write(&self) -> Option<String> {
        Some(quoted("***"))
    }
}

/// The URL of a proxy as it was given, perhaps with a password, which its `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    /// This text, which is checked when the proxy is made of it.
    #[must_use]
    pub fn unchecked(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyUrl(..)")
    }
}

impl Setting for ProxyUrl {
    const HIDDEN: bool = true;

    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text().ok_or_else(otherwise)?;
        match Proxy::parse(text, None) {
            // The password may stand elsewhere.
            Ok(_) | Err(ProxyUrlError::Login) => Ok(Self::unchecked(text)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn write(&self) -> Option<String> {
        let shown = match self.0.rsplit_once('@') {
            Some((_, address)) => format!("socks5://***@{address}"),
            None => self.0.clone(),
        };
        Some(quoted(&shown))
    }
}

/// Where the store is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StorePlace {
    /// At its usual place.
    #[default]
    Usual,
    /// Nowhere: nothing is kept.
    Nowhere,
    /// There.
    At(StoreUrl),
}

impl StorePlace {
    /// From a store's URL or path, or `none`.
    ///
    /// # Errors
    /// What is wrong with the URL, without a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Nowhere),
            url => url
                .parse()
                .map(Self::At)
                .map_err(|error: crate::store::StoreUrlError| error.to_string()),
        }
    }
}

impl Setting for StorePlace {
    const HIDDEN: bool = true;

    fn read(given: Given<'_>) -> Result<Self, String> {
        Self::parse(given.text().ok_or_else(otherwise)?)
    }

    fn write(&self) -> Option<String> {
        match self {
            Self::Usual => None,
            Self::Nowhere => Some(quoted("none")),
            Self::At(StoreUrl::Sqlite(path)) => {
                Some(quoted(&format!("sqlite://{}", path.display())))
            }
            Self::At(url) => Some(quoted(&url.to_string())),
        }
    }
}

/// A span: `90s`, `1h30m`, `1d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as in 90s, 1h30m or 7d"))
}

/// A span from `500ms` or less to a week.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be longer than nothing".to_owned()),
        Ok(duration) if duration > WEEK => Err("it must not be longer than a week".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it as in 60s, 1m30s or 500ms")),
    }
}

/// The longest [`positive_duration`].
pub(super) const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
