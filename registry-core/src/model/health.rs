//! Observed health, one of the four state axes.

use serde::{Deserialize, Serialize};

use super::text::{ModelError, check_text};
use crate::limits::TEXT_BYTES_MAX;
use crate::time::Timestamp;

/// What a health check observed.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The check succeeded.
    Passing,
    /// The check succeeded with a warning.
    Warning,
    /// The check failed.
    Critical,
    /// Nothing was observed, or a newer version wrote something this one does not know.
    Unknown,
}

impl Health {
    /// The name used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

/// The last health report of a service.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// What was observed.
    pub status: Health,
    /// When it was observed.
    pub checked_at: Timestamp,
    /// The check's own words.
    #[serde(default)]
    pub message: Option<String>,
}

impl HealthStatus {
    /// Whether both say the same, the time aside.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.status == other.status && self.message == other.message
    }

    pub(super) fn validate(&self) -> Result<(), ModelError> {
        match &self.message {
            Some(message) => check_text("message", message, TEXT_BYTES_MAX),
            None => Ok(()),
        }
    }
}
