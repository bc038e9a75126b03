//! Mass-expiry protection: many leases of one service that lapse at once say more of the network than of the instances.

use std::collections::{HashMap, VecDeque};

use super::config::LeasePolicy;
use crate::model::Name;

/// Instances of a service that may always expire, however few it has: one or two that end are no mass.
const UNPROTECTED_MIN: usize = 2;

/// How many leases of each service expired, and when.
#[derive(Debug, Default)]
pub(super) struct Protection {
    expired: HashMap<Name, Expired>,
}

/// The leases of one service that expired within its window.
#[derive(Debug, Default)]
struct Expired {
    window_ms: u64,
    /// Time and number, oldest first.
    recent: VecDeque<(u64, usize)>,
}

impl Expired {
    fn forget(&mut self, now_ms: u64) {
        let window = self.window_ms;
        let is_over = |(at, _): &(u64, usize)| at.saturating_add(window) <= now_ms;
        while self.recent.front().is_some_and(is_over) {
            self.recent.pop_front();
        }
    }
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
        let expired = self.expired.entry(service.clone()).or_default();
        expired.window_ms = policy.protection_window.as_millis();
        expired.forget(now_ms);
        let before: usize = expired.recent.iter().map(|(_, count)| count).sum();
        let share = (before + leased) * usize::from(policy.protection_percent);
        let may = share.div_ceil(100).max(UNPROTECTED_MIN);
        let lets = before + lapsed <= may;
        if lets {
            expired.recent.push_back((now_ms, lapsed));
        } else if expired.recent.is_empty() {
            self.expired.remove(service);
        }
        lets
    }

    /// Forgets services of which nothing expired within their window.
    pub(super) fn tidy(&mut self, now_ms: u64) {
        self.expired.retain(|_, expired| {
            expired.forget(now_ms);
            !expired.recent.is_empty()
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
    fn longer_window_of_a_service_outlasts_the_tidying() {
        let long = LeasePolicy {
            protection_window: crate::time::Span::from_secs(600),
            ..policy(50)
        };
        let mut protection = Protection::default();
        let service = Name::new("api").unwrap();
        assert!(protection.lets_expire(&service, 5, 10, 0, &long));
        protection.tidy(599_999);
        assert!(!protection.lets_expire(&service, 3, 5, 599_999, &long));
        protection.tidy(600_000);
        assert!(protection.expired.is_empty());
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
