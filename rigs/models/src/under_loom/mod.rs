//! Every order of a few threads, as far as [`MODELS_BOUND`](crate) goes.

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

/// Runs a scenario in every order; panics in the first that breaks a promise or in which nobody can go on.
pub fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(crate::bounds::preemptions());
    model.check(scenario);
}
