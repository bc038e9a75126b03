//! Mass-expiry protection: many leases of one service that lapse at once say more of the network than of the instances.

use std::collections::{HashMap, VecDeque};

use super::config::LeasePolicy;
use crate::model::Name;

/// Instances of a service that may always expire, however few it has: one or two that end are no mass.
const UNPROTECTED_MIN: usize = 2;

/// How many leases of each service expired, and when.
#[derive(Debug, Default)]
pub(super) struct Protection {
    expired: HashMap<Name, VecDeque<(u64, usize)>>,
}

impl Protection {
    /// Whether `lapsed` more leases of a service may expire now, of the `leased` that it has, those included. Those that
    /// may are counted.
    pub(super) fn lets_expire(
        &mut self,
        service: &Name,
        lapsed: usize,
        leased: usize,
        now_ms: u64,
        policy: &LeasePolicy,
    ) -> bool {
        let window = policy.protection_window.as_millis();
        let recent = self.expired.entry(service.clone()).or_default();
        while recent
            .front()
            .is_some_and(|(at, _)| at.saturating_add(window) <= now_ms)
        {
            recent.pop_front();
        }
        let before: usize = recent.iter().map(|(_, count)| count).sum();
        let share = (before + leased) * usize::from(policy.protection_percent);
        let may = share.div_ceil(100).max(UNPROTECTED_MIN);
        let lets = before + lapsed <= may;
        if lets {
            recent.push_back((now_ms, lapsed));
        } else if recent.is_empty() {
            self.expired.remove(service);
        }
        lets
    }

    /// Forgets services of which nothing expired within any window.
    pub(super) fn tidy(&mut self, now_ms: u64, window_max_ms: u64) {
        self.expired.retain(|_, recent| {
            recent
                .back()
                .is_some_and(|(at, _)| at.saturating_add(window_max_ms) > now_ms)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(percent: u8) -> LeasePolicy {
        LeasePolicy {
            protection_percent: percent,
            ..LeasePolicy::default()
        }
    }

    fn lets(steps: &[(u64, usize, usize)], percent: u8) -> Vec<bool> {
        let mut protection = Protection::default();
        let service = Name::new("api").unwrap();
        let steps = steps.iter().map(|(now, lapsed, leased)| {
            protection.lets_expire(&service, *lapsed, *leased, *now, &policy(percent))
        });
        steps.collect()
    }

    #[test]
    fn share_of_a_service_may_expire_within_a_window() {
        // Ten instances, half of them: five may go, one by one or together, and not a sixth.
        assert_eq!(lets(&[(0, 5, 10)], 50), [true]);
        assert_eq!(lets(&[(0, 6, 10)], 50), [false]);
        assert_eq!(
            lets(&[(0, 3, 10), (1, 2, 7), (2, 1, 5)], 50),
            [true, true, false]
        );
    }

    #[test]
    fn window_passes() {
        assert_eq!(lets(&[(0, 5, 10), (59_999, 3, 5)], 50), [true, false]);
        assert_eq!(lets(&[(0, 5, 10), (60_000, 3, 5)], 50), [true, true]);
    }

    #[test]
    fn one_or_two_are_no_mass() {
        assert_eq!(lets(&[(0, 1, 1)], 1), [true]);
        assert_eq!(lets(&[(0, 2, 2)], 1), [true]);
        assert_eq!(lets(&[(0, 3, 3)], 1), [false]);
    }

    #[test]
    fn all_may_go_where_the_share_is_all() {
        assert_eq!(lets(&[(0, 1_000, 1_000)], 100), [true]);
    }
}
