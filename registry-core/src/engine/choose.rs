//! Chooses among the instances of a service. Pure: what is random comes in as a number.

use std::sync::Arc;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::instance::Instance;

/// How instances are chosen.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// All of them, in the order of ids.
    #[default]
    All,
    /// At random, each as often as its weight says; those of weight 0 last.
    WeightedRandom,
    /// In turn, in the order of ids.
    RoundRobin,
    /// Those of the caller's zone first, then those of its region, then the others; within each at random by weight.
    Nearest,
}

/// Where the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Its zone; may be empty.
    pub zone: String,
    /// Its region; may be empty.
    pub region: String,
}

impl Place {
    /// How far an instance is: 0 in the same zone, 1 in the same region, 2 elsewhere.
    fn distance(&self, instance: &Instance) -> u8 {
        let entry = instance.entry();
        let is = |own: &str, other: &str| !own.is_empty() && own == other;
        if is(&self.zone, &entry.zone) && (self.region.is_empty() || self.region == entry.region) {
            0
        } else if is(&self.region, &entry.region) {
            1
        } else {
            2
        }
    }
}

/// Puts candidates, which come in the order of ids, into the order in which to try them, the first `limit` of them.
///
/// `turn` counts the calls for round robin, and is the seed of what is random.
pub fn choose(
    mut candidates: Vec<Arc<Instance>>,
    strategy: Strategy,
    place: &Place,
    turn: u64,
    limit: usize,
) -> Vec<Arc<Instance>> {
    match strategy {
        Strategy::All => {}
        Strategy::RoundRobin => {
            let count = candidates.len().max(1) as u64;
            let first = usize::try_from(turn % count).unwrap_or(0);
            candidates.rotate_left(first);
        }
        Strategy::WeightedRandom => shuffle(&mut candidates, &mut Rng::with_seed(turn)),
        Strategy::Nearest => {
            shuffle(&mut candidates, &mut Rng::with_seed(turn));
            candidates.sort_by_key(|instance| place.distance(instance));
        }
    }
    candidates.truncate(limit);
    candidates
}

/// Shuffles so that each instance stands first as often as its weight says, and so on among the rest: the instances in
/// the order of the times at which they would first happen, each at a rate that is its weight.
fn shuffle(candidates: &mut Vec<Arc<Instance>>, rng: &mut Rng) {
    let mut timed: Vec<(f64, Arc<Instance>)> = candidates
        .drain(..)
        .map(|instance| {
            let weight = f64::from(instance.entry().weight);
            // 0 < 1 - f64() <= 1, and a rate of 0 never happens.
            let time = -(1.0 - rng.f64()).ln() / weight;
            let time = if weight > 0.0 { time } else { f64::INFINITY };
            (time, instance)
        })
        .collect();
    timed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    candidates.extend(timed.into_iter().map(|(_, instance)| instance));
}
