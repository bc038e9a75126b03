//! The tables of the file, and the facts in `meta`.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `stamp`, `head` | a fact with checksum |
//! | `log` | revision of the first entry of a group | the group, `registry_core::codec::encode_log_value` |
//! | `log_keys` | bytes of a key, revision of a commit that changed it | revision of the change of it before that one |
//! | `state` | bytes of a key | the record, `registry_core::codec::encode_value` |
//! | `notes` | name | content with checksum |
//!
//! Invariant: `state` and `log_keys` are those of the revision in the fact `head`; entries of `log` after it are the
//! part that open replays. The tables check each other, and every row of `log_keys` names the one before it, because redb
//! tells no flipped bit of a page on a normal read.

use std::time::Duration;

use redb::{ReadableTable, TableDefinition};
use registry_core::{Head, Revision, SCHEMA, SchemaVersion};
use serde::{Deserialize, Serialize};

pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(crate) const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
pub(crate) const LOG_KEYS: TableDefinition<(&[u8], u64), u64> = TableDefinition::new("log_keys");
pub(crate) const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
pub(crate) const NOTES: TableDefinition<&str, &[u8]> = TableDefinition::new("notes");

/// Name of the fact that says what the file is.
pub(crate) const STAMP: &str = "stamp";
/// Name of the fact that says what the folded state adds up to.
pub(crate) const HEAD: &str = "head";
/// Name of the fact that a clean close counts up.
pub(crate) const CLOSED: &str = "closed";

const FORMAT: &str = "harness.redb";
const LAYOUT: u32 = 1;

/// What the file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) format: String,
    pub(crate) layout: u32,
    pub(crate) schema: SchemaVersion,
    /// False between the first page of a restore and its seal.
    pub(crate) is_sealed: bool,
}

impl Stamp {
    pub(crate) fn new(schema: SchemaVersion, is_sealed: bool) -> Self {
        Self {
            format: FORMAT.to_owned(),
            layout: LAYOUT,
            schema,
            is_sealed,
        }
    }

    /// The stamp of a new file.
    pub(crate) fn fresh() -> Self {
        Self::new(SCHEMA, true)
    }

    /// Whether this code reads a file with this format and layout.
    pub(crate) fn is_ours(&self) -> bool {
        self.format == FORMAT && self.layout == LAYOUT
    }
}

/// What can be unfolded at most, in commits. Bounds what open replays: some 20 microseconds each.
pub(crate) const FOLD_COMMITS_MAX: usize = 1024;
/// What can be unfolded at most, in bytes of the records in it. Bounds the memory of the overlay.
pub(crate) const FOLD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The allocator's state follows commits within half of this, so that only an open after a crash in the middle of commits
/// walks the file. With each commit it would take as long as the commit itself (docs/adr/0010).
pub(crate) const ALLOCATOR_INTERVAL: Duration = Duration::from_secs(1);

/// Up to this size of the file, in bytes, open checks every page of redb's. A debug build on two cores opens 64 MiB
/// in 0.3 s with that.
/// Above it, the checks of our own values are what finds damage.
pub(crate) const PAGES_CHECK_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The revision of the first entry in the log value that holds `revision`, if there is one.
pub(crate) fn group_of(
    log: &impl ReadableTable<u64, &'static [u8]>,
    revision: Revision,
) -> Result<Option<u64>, redb::StorageError> {
    let mut before = log.range(..=revision.0)?;
    let found = before.next_back().transpose()?;
    Ok(found.map(|(first, _)| first.value()))
}

/// The part of the log that both anchors of a head bound, as revisions.
pub(crate) fn log_bounds(head: &Head) -> std::ops::RangeInclusive<u64> {
    head.compacted.revision.next().0..=head.revision().0
}
