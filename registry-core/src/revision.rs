//! The store-wide number of a commit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Number of a commit: 0 is the empty store, the first commit is 1, without gaps, never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The empty store.
    pub const ZERO: Self = Self(0);

    /// The revision after this one. A reader may name any number, so that the last one has itself after it: commits do
    /// not reach it at a billion a second in 500 years.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Revision {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
