//! The policy of a service.

use serde::{Deserialize, Serialize};

use crate::model::{ServicePolicy, UnknownHeartbeat};
use crate::time::Span;

#[derive(Serialize, Deserialize)]
pub(in crate::codec) struct PolicyV1 {
    service: String,
    unknown_heartbeat: u32,
    protection_percent: Option<u8>,
    protection_window_ms: Option<u64>,
    protection_hold_ms: Option<u64>,
    remove_expired_after_ms: Option<u64>,
    remove_critical_after_ms: Option<u64>,
    forget_stopped_after_ms: Option<u64>,
}

/// 0 is none; so is a number that only a newer version knows.
const REFUSE: u32 = 1;
const PENDING: u32 = 2;
const ACTIVE: u32 = 3;

impl From<&ServicePolicy> for PolicyV1 {
    fn from(policy: &ServicePolicy) -> Self {
        let millis = |span: Option<Span>| span.map(Span::as_millis);
        Self {
            service: policy.service.clone(),
            unknown_heartbeat: match policy.unknown_heartbeat {
                None => 0,
                Some(UnknownHeartbeat::Refuse) => REFUSE,
                Some(UnknownHeartbeat::Pending) => PENDING,
                Some(UnknownHeartbeat::Active) => ACTIVE,
            },
            protection_percent: policy.protection_percent,
            protection_window_ms: millis(policy.protection_window),
            protection_hold_ms: millis(policy.protection_hold),
            remove_expired_after_ms: millis(policy.remove_expired_after),
            remove_critical_after_ms: millis(policy.remove_critical_after),
            forget_stopped_after_ms: millis(policy.forget_stopped_after),
        }
    }
}

impl From<PolicyV1> for ServicePolicy {
    fn from(stored: PolicyV1) -> Self {
        let span = |millis: Option<u64>| millis.map(Span::from_millis);
        Self {
            service: stored.service,
            unknown_heartbeat: match stored.unknown_heartbeat {
                REFUSE => Some(UnknownHeartbeat::Refuse),
                PENDING => Some(UnknownHeartbeat::Pending),
                ACTIVE => Some(UnknownHeartbeat::Active),
                _ => None,
            },
            protection_percent: stored.protection_percent,
            protection_window: span(stored.protection_window_ms),
            protection_hold: span(stored.protection_hold_ms),
            remove_expired_after: span(stored.remove_expired_after_ms),
            remove_critical_after: span(stored.remove_critical_after_ms),
            forget_stopped_after: span(stored.forget_stopped_after_ms),
        }
    }
}
