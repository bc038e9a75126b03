//! What the embedded backends have in common when they are opened.

use std::sync::Arc;

use crate::log::LogEntry;
use crate::record::Versioned;
use crate::store::Finding;

/// How a path is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenMode {
    /// Opens the store at the path, or creates an empty one where nothing is.
    #[default]
    OpenOrCreate,
    /// Creates an empty store; something at the path is `Invalid`.
    Create,
    /// Opens the store at the path; nothing there is `NotFound`.
    Open,
    /// Reads the store and changes nothing: no lock, no journal, no file beside it. Writes answer `Unsupported`.
    ReadOnly,
}

/// What could still be read of a damaged store.
#[derive(Debug, Default)]
pub struct Salvage {
    /// Readable log entries in revision order, perhaps with gaps.
    pub entries: Vec<Arc<LogEntry>>,
    /// Readable records in key order.
    pub records: Vec<Versioned>,
    /// What could not be read.
    pub losses: Vec<Finding>,
}
