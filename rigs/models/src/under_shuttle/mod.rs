//! Random orders of many threads, as many as [`MODELS_SCHEDULES`](crate) says.

mod sync;

#[path = "../../../../registry-core/src/engine/barrier.rs"]
mod barrier;
#[path = "../../../../registry-core/src/engine/feed.rs"]
mod feed;

#[path = "../scenarios/publication.rs"]
pub mod publication;
#[path = "../scenarios/reading.rs"]
pub mod reading;
#[path = "../scenarios/watching.rs"]
pub mod watching;

/// The scenarios over the engine's files with one fault each.
pub mod faults {
    include!(concat!(env!("OUT_DIR"), "/faults.rs"));
}

use crate::config;

/// The orders are random, and the same in every run.
const SEED: u64 = 1;

/// Runs a scenario in random orders; panics in the first that breaks a promise or in which nobody can go on.
pub fn check(scenario: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random_with_seed(scenario, SEED, crate::bounds::schedules());
}
