//! A health report.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::{Health, HealthStatus};
use crate::time::Timestamp;

const PASSING: u32 = 1;
const WARNING: u32 = 2;
const CRITICAL: u32 = 3;
const UNKNOWN: u32 = 4;

#[derive(Serialize, Deserialize)]
pub(super) struct HealthV1<'a> {
    status: u32,
    checked_at_nanos: i64,
    message: Option<Cow<'a, str>>,
}

impl<'a> From<&'a HealthStatus> for HealthV1<'a> {
    fn from(health: &'a HealthStatus) -> Self {
        let status = match health.status {
            Health::Passing => PASSING,
            Health::Warning => WARNING,
            Health::Critical => CRITICAL,
            Health::Unknown => UNKNOWN,
        };
        Self {
            status,
            checked_at_nanos: health.checked_at.as_nanos(),
            message: health.message.as_ref().map(Cow::from),
        }
    }
}

impl From<HealthV1<'_>> for HealthStatus {
    fn from(stored: HealthV1<'_>) -> Self {
        let status = match stored.status {
            PASSING => Health::Passing,
            WARNING => Health::Warning,
            CRITICAL => Health::Critical,
            _ => Health::Unknown,
        };
        Self {
            status,
            checked_at: Timestamp::from_nanos(stored.checked_at_nanos),
            message: stored.message.map(Cow::into_owned),
        }
    }
}
