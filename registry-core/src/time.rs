//! Points in time: UTC, nanoseconds, RFC 3339 as text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time, in nanoseconds since 1970-01-01T00:00:00Z.
///
/// Its text is RFC 3339 in UTC with as many fraction digits as it needs. The years 1678 to 2261 can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text of a time could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time in RFC 3339 between the years 1678 and 2261, found {found:?}")]
pub struct TimestampError {
    found: String,
}

impl Timestamp {
    /// The time that many nanoseconds after the start of 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start of 1970.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// This time moved by a span; stops at the ends of what can be told.
    #[must_use]
    pub fn saturating_add(self, span: std::time::Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)),
        )
    }

    /// The span since `earlier`, zero where `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(
            u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .expect("every 64-bit count of nanoseconds lies within jiff's range");
        time.fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let error = || TimestampError {
            found: text.chars().take(64).collect(),
        };
        let time: jiff::Timestamp = text.parse().map_err(|_| error())?;
        i64::try_from(time.as_nanosecond())
            .map(Self)
            .map_err(|_| error())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_time_reads_back() {
        for text in [
            "2025-11-01T12:00:55Z",
            "1969-12-31T23:59:59.5Z",
            "2026-01-02T03:04:05.000000001Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn offsets_become_utc() {
        let time: Timestamp = "2025-11-01T14:00:55+02:00".parse().unwrap();
        assert_eq!(time.to_string(), "2025-11-01T12:00:55Z");
    }

    #[test]
    fn times_out_of_range_are_refused() {
        assert!("1500-01-01T00:00:00Z".parse::<Timestamp>().is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
