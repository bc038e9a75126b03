//! What an open store can do. Constant for its life.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::error::{ErrorKind, StoreError};
use crate::limits::{GROUP_TRANSACTIONS_MAX, RECORD_BYTES_MAX};
use crate::store::Result;

/// When a commit is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Never: it ends with the process.
    Volatile,
    /// At most this long after the acknowledgement.
    Interval(#[serde(serialize_with = "whole_millis")] Duration),
    /// Before the acknowledgement.
    Synced,
}

fn whole_millis<S: serde::Serializer>(
    span: &Duration,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}ms", span.as_millis()))
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volatile => f.write_str("volatile"),
            Self::Interval(span) => write!(f, "interval:{}ms", span.as_millis()),
            Self::Synced => f.write_str("synced"),
        }
    }
}

/// Who may open the same store at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writers {
    /// One opener; the next one is answered `Locked` with the holder.
    One,
    /// Any number of processes; each sees the commits of the others.
    Many,
}

/// What an open store can do. A new field needs a conformance case and a reader of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Name of the backend, such as `redb`.
    pub backend: &'static str,
    /// The durability in force.
    pub durability: Durability,
    /// Who may open it. The engine reads through a barrier where there can be many.
    pub writers: Writers,
    /// Whether reopening finds what was committed.
    pub is_persistent: bool,
    /// Most transactions in one group; the driver drains no more.
    pub group_transactions_max: usize,
    /// Largest encoded record, in bytes.
    pub record_bytes_max: usize,
}

impl Capabilities {
    /// Those of a store in files that one process opens at a time.
    ///
    /// # Errors
    /// `Unsupported` for a volatile durability: files are kept.
    pub fn of_files(backend: &'static str, durability: Durability) -> Result<Self> {
        if durability == Durability::Volatile {
            let detail = "keep a store volatile; ask for synced or an interval";
            return Err(StoreError::new(ErrorKind::Unsupported, backend, detail));
        }
        Ok(Self {
            backend,
            durability,
            writers: Writers::One,
            is_persistent: true,
            group_transactions_max: GROUP_TRANSACTIONS_MAX,
            record_bytes_max: RECORD_BYTES_MAX,
        })
    }
}
