//! What an operator decides for the instances of one service.

use serde::{Deserialize, Serialize};

use super::text::{ModelError, check_present};
use crate::limits::NAME_BYTES_MAX;
use crate::time::Span;

/// What becomes of a heartbeat of an instance that is not known, or has no lease any more.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum UnknownHeartbeat {
    /// It is refused: the instance must register.
    #[default]
    Refuse,
    /// Where it carries the registration, the instance is registered and waits to be let in.
    Pending,
    /// Where it carries the registration, the instance is registered.
    Active,
}

impl UnknownHeartbeat {
    /// The name used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Pending => "pending",
            Self::Active => "active",
        }
    }
}

/// The rules for the instances of one service. A field that is none takes the daemon's own.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServicePolicy {
    /// The service. In a request that names it elsewhere it may be empty.
    #[serde(default)]
    pub service: String,
    /// What an unknown heartbeat does.
    #[serde(default)]
    pub unknown_heartbeat: Option<UnknownHeartbeat>,
    /// Percent of the instances that may lose their leases within the window before the rest is held back; 100 never
    /// holds back.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schemars(range(min = 1, max = 100)))]
    pub protection_percent: Option<u8>,
    /// The window.
    #[serde(default)]
    pub protection_window: Option<Span>,
    /// How long an instance is held back.
    #[serde(default)]
    pub protection_hold: Option<Span>,
    /// How long an expired instance stays listed.
    #[serde(default)]
    pub remove_expired_after: Option<Span>,
    /// How long an instance whose reports are critical stays listed; none is for ever.
    #[serde(default)]
    pub remove_critical_after: Option<Span>,
    /// How long a stopped instance stays in the view.
    #[serde(default)]
    pub forget_stopped_after: Option<Span>,
}

impl ServicePolicy {
    /// Checks every rule of the model.
    ///
    /// # Errors
    /// [`ModelError`] with the first field that breaks one.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_present("service", &self.service, NAME_BYTES_MAX)?;
        match self.protection_percent {
            Some(percent) if !(1..=100).contains(&percent) => Err(ModelError::new(
                "protection_percent",
                "1 to 100",
                percent.to_string(),
            )),
            _ => Ok(()),
        }
    }
}
