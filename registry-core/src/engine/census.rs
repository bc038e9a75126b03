//! How many instances there are of which sort, counted as they change.

use crate::model::{Health, InstanceEntry, Intent};

const HEALTH: [Health; 4] = [
    Health::Passing,
    Health::Warning,
    Health::Critical,
    Health::Unknown,
];
const INTENT: [Intent; 4] = [
    Intent::Enabled,
    Intent::Draining,
    Intent::Disabled,
    Intent::Unknown,
];

/// Counts of the instances that have a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    counts: [[usize; INTENT.len()]; HEALTH.len()],
    suspects: usize,
}

impl Census {
    /// The instances of each health and intent, those that there are none of included.
    pub fn by_health_and_intent(&self) -> impl Iterator<Item = (Health, Intent, usize)> {
        HEALTH.iter().zip(self.counts).flat_map(|(health, counts)| {
            INTENT
                .iter()
                .zip(counts)
                .map(|(intent, count)| (*health, *intent, count))
        })
    }

    /// Instances whose lease lapsed and that are held back.
    pub fn suspects(&self) -> usize {
        self.suspects
    }

    /// Instances in all.
    pub fn len(&self) -> usize {
        self.counts.iter().flatten().sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn add(&mut self, entry: &InstanceEntry) {
        if entry.has_lease() {
            *self.count(entry) += 1;
            self.suspects += usize::from(entry.suspect_since.is_some());
        }
    }

    pub(super) fn remove(&mut self, entry: &InstanceEntry) {
        if entry.has_lease() {
            *self.count(entry) -= 1;
            self.suspects -= usize::from(entry.suspect_since.is_some());
        }
    }

    fn count(&mut self, entry: &InstanceEntry) -> &mut usize {
        &mut self.counts[entry.health() as usize][entry.intent as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_place() {
        for (place, health) in HEALTH.into_iter().enumerate() {
            assert_eq!(health as usize, place);
        }
        for (place, intent) in INTENT.into_iter().enumerate() {
            assert_eq!(intent as usize, place);
        }
    }
}
