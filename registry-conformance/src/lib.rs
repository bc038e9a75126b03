//! The suite that proves every backend of the registry equal, and the benches that compare them.
//!
//! A backend runs it with three lines, in a test with `harness = false`:
//!
//! ```no_run
//! use registry_core::MemoryStore;
//!
//! registry_conformance::run("memory", |_folder| Ok(MemoryStore::new()));
//! ```
//!
//! Each case opens the store in a fresh folder of its own. A case that a store cannot run by its
//! [`Capabilities`](registry_core::Capabilities) is listed as `[unsupported]` with the reason, never left out.
//!
//! What the environment may say, for the whole run:
//!
//! - `HARNESS_CONFORMANCE_REPORT`: write the results to this file, as JSON.
//! - `HARNESS_CONFORMANCE_HISTORIES`: number of random histories, 48 by default.
//! - `HARNESS_CONFORMANCE_SEED`: seed of the random cases, 1 by default.

pub mod bench;

mod case;
mod cases;
mod fault;
mod fixture;
mod handle;
mod picture;
mod process;
mod report;
mod run;
mod settings;
mod subject;

pub use fault::{Fault, FaultStore};
pub use run::run;
