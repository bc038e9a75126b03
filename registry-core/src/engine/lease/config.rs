//! The rules for leases, where a service has none of its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{ServicePolicy, UnknownHeartbeat};
use crate::time::Span;

/// Rules and bounds of the leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// The rules for services that have none of their own.
    pub policy: LeasePolicy,
    /// Time between two saves of `last_seen`; a restart forgets at most as much of it.
    pub last_seen_interval: Duration,
    /// How long a keeper of a store that several processes write may be silent before its leases are adopted.
    pub keeper_ttl: Duration,
}

/// The rules in force for the instances of one service.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasePolicy {
    /// What an unknown heartbeat does.
    pub unknown_heartbeat: UnknownHeartbeat,
    /// Percent of the instances that may lose their leases within the window before the rest is held back; 100 never
    /// holds back.
    pub protection_percent: u8,
    /// The window.
    pub protection_window: Span,
    /// How long an instance is held back.
    pub protection_hold: Span,
    /// How long an expired instance stays listed.
    pub remove_expired_after: Span,
    /// How long an instance whose reports are critical stays listed; none is for ever.
    pub remove_critical_after: Option<Span>,
    /// How long a stopped instance stays in the view.
    pub forget_stopped_after: Span,
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            policy: LeasePolicy::default(),
            last_seen_interval: Duration::from_secs(60),
            keeper_ttl: Duration::from_secs(5),
        }
    }
}

impl Default for LeasePolicy {
    fn default() -> Self {
        Self {
            unknown_heartbeat: UnknownHeartbeat::Refuse,
            protection_percent: 50,
            protection_window: Span::from_secs(60),
            protection_hold: Span::from_secs(5 * 60),
            remove_expired_after: Span::from_secs(10 * 60),
            remove_critical_after: None,
            forget_stopped_after: Span::from_secs(24 * 60 * 60),
        }
    }
}

impl LeasePolicy {
    /// These rules with what a service has of its own.
    #[must_use]
    pub fn with(self, own: Option<&ServicePolicy>) -> Self {
        let Some(own) = own else { return self };
        Self {
            unknown_heartbeat: own.unknown_heartbeat.unwrap_or(self.unknown_heartbeat),
            protection_percent: own.protection_percent.unwrap_or(self.protection_percent),
            protection_window: own.protection_window.unwrap_or(self.protection_window),
            protection_hold: own.protection_hold.unwrap_or(self.protection_hold),
            remove_expired_after: own
                .remove_expired_after
                .unwrap_or(self.remove_expired_after),
            remove_critical_after: own.remove_critical_after.or(self.remove_critical_after),
            forget_stopped_after: own
                .forget_stopped_after
                .unwrap_or(self.forget_stopped_after),
        }
    }
}
