//! Every bound of the model and of the store contract, by name and with its unit.

use crate::time::Span;

/// Longest name of a service, an endpoint or a dependency, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest version text, in bytes of UTF-8.
pub const VERSION_BYTES_MAX: usize = 255;
/// Longest free text (command, image, reason, message), in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Longest protocol name, in bytes.
pub const PROTOCOL_BYTES_MAX: usize = 32;
/// Most endpoints that one service may have.
pub const ENDPOINTS_MAX: usize = 256;
/// Most dependencies that one service may name.
pub const DEPENDENCIES_MAX: usize = 1024;

/// Most tags of one instance; each is as long as a name at most.
pub const TAGS_MAX: usize = 64;
/// Most metadata entries of one instance; each key is as long as a name at most.
pub const METADATA_ENTRIES_MAX: usize = 64;
/// Longest metadata value, in bytes of UTF-8.
pub const METADATA_VALUE_BYTES_MAX: usize = 4096;
/// Largest weight of an instance.
pub const INSTANCE_WEIGHT_MAX: u32 = 10_000;
/// Shortest lease: several times the step in which leases are looked at.
pub const LEASE_TTL_MIN: Span = Span::from_secs(1);
/// Longest lease.
pub const LEASE_TTL_MAX: Span = Span::from_secs(24 * 60 * 60);
/// Most heartbeats in one batch.
pub const HEARTBEATS_MAX: usize = 10_000;

/// Largest encoded record, in bytes; etcd takes 1.5 MiB for a whole request.
pub const RECORD_BYTES_MAX: usize = 512 * 1024;
/// Deepest nesting that a decoder follows; a record of schema 1 needs four levels.
pub const VALUE_DEPTH_MAX: usize = 32;
/// Largest encoded log value (one group of commits), in bytes.
pub const LOG_VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most mutations in one transaction; etcd's default is the same.
pub const TRANSACTION_MUTATIONS_MAX: usize = 128;
/// Most preconditions in one transaction.
pub const TRANSACTION_PRECONDITIONS_MAX: usize = 256;
/// Most transactions in one group commit.
pub const GROUP_TRANSACTIONS_MAX: usize = 1024;
/// Largest sum of the encoded records that one group may write, in bytes.
pub const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most records that one page of a range holds.
pub const RANGE_PAGE_MAX: usize = 1000;
/// Most log entries that one page of changes holds.
pub const CHANGES_PAGE_MAX: usize = 1000;
/// A page ends early once the records in it exceed this many bytes.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Commits whose transaction ids a store remembers, so that a repeated one is answered and not applied again.
pub const RECENT_COMMITS_MAX: usize = 100_000;
/// Most notes a store keeps.
pub const NOTES_MAX: usize = 4096;
/// Largest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Most findings that one verification lists; the rest is counted.
pub const FINDINGS_MAX: usize = 100;
