//! The engine's locks and wake-ups under two checkers: loom runs a small model in every order of its threads up to a
//! bound, shuttle a larger one in many random orders.
//!
//! `feed.rs` and `barrier.rs` are the engine's own files, compiled here over the checker's locks and over stand-ins
//! for the types that they carry. Each has twins with one fault planted by an edit of the file (`build.rs`): a model
//! that does not find the fault that it exists for checks nothing.
//!
//! | environment | what it sets | else |
//! |---|---|---|
//! | `MODELS_BOUND` | times that loom takes the turn from a thread that could go on | 3 |
//! | `MODELS_SCHEDULES` | random orders that shuttle tries | 2000 |

#![expect(
    clippy::duplicate_mod,
    reason = "the same file is compiled over each checker's locks"
)]

pub mod setting;
pub mod under_loom;
pub mod under_shuttle;

mod bounds;
mod config;
mod poll;
mod stand_ins;

// Where the engine's files look for them.
use stand_ins::{log, record, revision};
