//! What a worker tells its parent, a line each on its standard output.

use std::fmt;
use std::io::{self, Write as _};

use registry_core::{Anchor, Hash, LogEntry, Revision, TransactionId};
use serde::{Deserialize, Serialize};

/// A commit that somebody was told of, by a reply or by a store that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) revision: Revision,
    pub(crate) id: TransactionId,
    /// The key of the one record that it changed.
    pub(crate) key: String,
    /// Hash of the record since; none where it was deleted.
    pub(crate) record: Option<Hash>,
}

impl Shown {
    /// The commit of a log entry. The scripts change one record with each.
    pub(crate) fn of(entry: &LogEntry) -> Self {
        let change = entry.commit.changes.first();
        Self {
            revision: entry.commit.revision,
            id: entry.commit.id,
            key: change.map_or_else(String::new, |change| change.key.to_string()),
            record: change
                .and_then(|change| change.after.as_deref())
                .map(|image| *image.hash()),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            revision, id, key, ..
        } = self;
        write!(f, "revision {revision} of {key} ({id})")
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// The store is open, and what it shows was told. Commits from here on are replies.
    Opened,
    /// A commit is durable.
    Shown(Shown),
    /// A call was answered with an error.
    Refused(String),
    /// A promise was broken in sight of the worker.
    Broken(String),
    /// A store was copied to another place, and is there with this head.
    Migrated(Anchor),
    /// Everything was done.
    Done,
}

impl Told {
    /// Tells it: whole, or not at all where the pipe is gone.
    pub(crate) fn tell(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut output = io::stdout().lock();
        output.write_all(&line)?;
        output.flush()
    }
}
