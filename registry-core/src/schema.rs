//! The version of what is stored.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Version of a stored value: a reader knows every minor of its major, and skips what a newer minor appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SchemaVersion {
    /// Changes when an older reader could misread.
    pub major: u8,
    /// Changes when fields or variants were appended.
    pub minor: u16,
}

/// The version that this code writes.
pub const SCHEMA: SchemaVersion = SchemaVersion { major: 1, minor: 0 };

impl SchemaVersion {
    /// Whether this code can read it at all.
    pub fn is_readable(self) -> bool {
        self.major == SCHEMA.major
    }

    /// Whether this code knows all of it, so that writing it back loses nothing.
    pub fn is_known(self) -> bool {
        self.is_readable() && self <= SCHEMA
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
