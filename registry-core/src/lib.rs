//! The model, the store contract and the engine of the harness service registry.
//!
//! Read top-down: [`model`] has the values, [`RegistryStore`] the contract of a backend, [`MemoryStore`] the contract in
//! its simplest form, and [`engine`] what happens between a command and the events that tell of it.

pub mod codec;
pub mod commit;
pub mod durable;
pub mod engine;
pub mod failed_sync;
pub mod legacy;
pub mod limits;
pub mod model;
pub mod portable;

mod capability;
mod clock;
mod error;
mod hash;
mod head;
mod key;
mod log;
mod memory;
mod offload;
mod open;
#[cfg(feature = "openapi")]
mod openapi;
mod pages;
mod path_lock;
mod record;
mod revision;
mod runway;
mod schema;
mod store;
mod time;
mod transaction;

pub use capability::{Capabilities, Durability, Writers};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{CodecError, ErrorKind, Holder, StoreError};
pub use hash::{Hash, HashError};
pub use head::{Anchor, Counts, Head, SetDigest, Tally};
pub use key::{Key, Kind};
pub use log::{Change, Commit, LogEntry};
pub use memory::MemoryStore;
pub use offload::{beside, contain, offload};
pub use open::{OpenMode, Salvage};
pub use pages::{LogPages, RecordPages};
pub use path_lock::{PathLock, private_options};
pub use record::{Image, Record, Versioned};
pub use revision::Revision;
pub use runway::Runway;
pub use schema::{SCHEMA, SchemaVersion};
pub use store::{
    ChangePage, ChangesRequest, Finding, Note, RangePage, RangeRequest, RegistryStore, RestorePage,
    Result, Seal, VerifyReport,
};
pub use time::{Span, SpanError, Timestamp, TimestampError};
pub use transaction::{
    Cause, Committed, Mutation, Outcome, Precondition, Rejection, Seen, Transaction, TransactionId,
};
