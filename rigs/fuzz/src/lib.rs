//! Hostile input for everything that reads bytes from outside.
//!
//! A [`Target`] is a plain function that takes bytes and panics where a promise is broken: no panic of the code under
//! test, an end to every input, errors that are typed, a state that a refused input left alone, and a round trip of what
//! was accepted. [`TARGETS`] lists them all; a new one is a file in `targets` and a line there.
//!
//! Three runners share them: `cargo test` replays the corpus, the binary mutates it on a stable compiler, and the
//! package in `fuzz/` hands them to libFuzzer.

mod campaign;
mod corpus;
mod damaged;
mod edits;
mod face;
mod files;
mod finding;
mod forge;
mod http;
mod mutate;
mod panics;
mod target;
mod targets;
mod watchdog;

pub use campaign::{Campaign, Tally};
pub use corpus::{Case, corpus_folder, read_corpus};
pub use finding::Finding;
pub use panics::Caught;
pub use target::{TARGETS, Target, find};
