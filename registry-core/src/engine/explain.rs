//! Why an instance is in the answer to who wants to reach its service, or not.

use std::sync::Arc;

use serde::Serialize;

use super::instance::Instance;
use super::instance_filter::InstanceFilter;
use super::lease::{LeaseClock, LeasePolicy};
use crate::model::{Health, Intent, Lifecycle};
use crate::time::{Span, Timestamp};

/// What is known of one instance, and what follows from it.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Its id.
    pub instance_id: String,
    /// Whether it is in the answer.
    pub is_chosen: bool,
    /// Each thing that was looked at, the first that keeps it out first.
    pub reasons: Vec<Reason>,
    /// Its lease; none where it has none.
    pub lease: Option<LeaseState>,
}

/// One thing that was looked at.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What.
    pub about: &'static str,
    /// Whether it keeps the instance out.
    pub keeps_out: bool,
    /// What was found.
    pub found: String,
}

/// How a lease stands.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseState {
    /// How long it lasts after a heartbeat.
    pub ttl: Span,
    /// Time since the last heartbeat as the clock of the leases has it; none where the lease lapsed, or where another
    /// process keeps it.
    pub age: Option<Span>,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// Since when it is held back by mass-expiry protection, and until when at the latest.
    pub suspect_since: Option<Timestamp>,
    /// How long it is held back.
    pub protection_hold: Option<Span>,
}

/// Whether an instance may be handed to a caller: it is listed, let in, enabled and not critical.
pub(super) fn is_eligible(instance: &Instance) -> bool {
    let entry = instance.entry();
    entry.has_lease()
        && entry.lifecycle == Lifecycle::Active
        && entry.intent == Intent::Enabled
        && entry.health() != Health::Critical
}

pub(super) fn explain(
    instance: &Arc<Instance>,
    filter: &InstanceFilter,
    policy: &LeasePolicy,
    clock: &LeaseClock,
) -> Explanation {
    let entry = instance.entry();
    let reason = |about, keeps_out, found| Reason {
        about,
        keeps_out,
        found,
    };
    let (has_lost_it, lease_text) = lease_text(instance, policy);
    let mismatch = filter.mismatch(entry);
    let mut reasons = vec![
        reason("lease", has_lost_it, lease_text),
        reason(
            "lifecycle",
            entry.lifecycle != Lifecycle::Active,
            entry.lifecycle.as_str().to_owned(),
        ),
        reason(
            "intent",
            entry.intent != Intent::Enabled,
            entry.intent.as_str().to_owned(),
        ),
        reason("health", is_critical(instance), health_text(instance)),
        reason(
            "filter",
            mismatch.is_some(),
            mismatch.map_or_else(
                || "fits".to_owned(),
                |(field, found)| format!("{field} is {found}"),
            ),
        ),
    ];
    reasons.sort_by_key(|reason| !reason.keeps_out);
    let lease = instance.lease().map(|lease| LeaseState {
        ttl: entry.lease_ttl,
        age: lease.age_ms(clock).map(Span::from_millis),
        last_seen: instance.last_seen(),
        suspect_since: entry.suspect_since,
        protection_hold: entry.suspect_since.map(|_| policy.protection_hold),
    });
    Explanation {
        instance_id: instance.id().to_string(),
        is_chosen: reasons.iter().all(|reason| !reason.keeps_out),
        reasons,
        lease,
    }
}

fn is_critical(instance: &Instance) -> bool {
    let health = instance.entry().last_health_check.as_ref();
    health.is_some_and(|health| health.status == Health::Critical)
}

fn health_text(instance: &Instance) -> String {
    match instance.last_health_check() {
        None => "no report".to_owned(),
        Some(health) => {
            let message = health.message.unwrap_or_default();
            let text = format!(
                "{} at {}: {message}",
                health.status.as_str(),
                health.checked_at
            );
            text.trim_end_matches([':', ' ']).to_owned()
        }
    }
}

/// Whether it has no lease any more, and how its lease stands.
fn lease_text(instance: &Instance, policy: &LeasePolicy) -> (bool, String) {
    let entry = instance.entry();
    let seen = instance.last_seen();
    let ttl = entry.lease_ttl;
    if let Some(at) = entry.stopped_at {
        let how = match entry.expired_at {
            Some(expired) => format!("expired at {expired} and removed at {at}"),
            None => format!("deregistered at {at}"),
        };
        return (true, how);
    }
    if let Some(at) = entry.expired_at {
        let stays = policy.remove_expired_after;
        let text = format!("expired at {at}, last seen at {seen}; listed for {stays} after that");
        return (true, text);
    }
    if let Some(at) = entry.suspect_since {
        let hold = policy.protection_hold;
        let text =
            format!("lapsed, suspect since {at} and held back by protection for at most {hold}");
        return (false, text);
    }
    (false, format!("of {ttl}, last seen at {seen}"))
}
