//! What the workers do, by scenario.

use harness::backends::Backend;
use registry_core::limits::{DEPENDENCIES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use registry_core::model::{ExecutionInfo, ServiceEntry};
use serde::{Deserialize, Serialize};

use crate::worker::Task;

/// Where the cuts land.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scenario {
    /// Group commits of several clients.
    Commit,
    /// The first open, and the first commits.
    Create,
    /// The open after a kill -9 in the middle of a commit.
    Recover,
    /// Compactions between commits.
    Compact,
    /// A migration from one store to another on the same disk.
    Migrate,
    /// The moments after the owner of a shared store was killed in the middle of a commit: another opener takes it
    /// over, sends what was under way again, and goes on.
    Takeover,
    /// What a backend rewrites now and then: a snapshot, a fold, a checkpoint.
    Rewrite,
}

/// The work of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Clients that commit at the same time, each with one command under way.
    pub(crate) clients: usize,
    /// Commands of each client.
    pub(crate) steps: usize,
    /// Largest record, in bytes.
    pub(crate) record_bytes_max: usize,
    /// Compacts after so many commands of the first client; 0 never.
    pub(crate) compact_after: usize,
}

impl Scenario {
    /// The work under which the power is cut.
    pub(crate) fn script(self, backend: Backend) -> Script {
        let small = Script {
            clients: 4,
            steps: 12,
            record_bytes_max: 2000,
            compact_after: 0,
        };
        match self {
            Self::Commit | Self::Migrate => small,
            Self::Create => Script { steps: 1, ..small },
            Self::Recover => Script { steps: 6, ..small },
            Self::Takeover => Script { steps: 40, ..small },
            Self::Compact => Script {
                compact_after: 4,
                ..small
            },
            // redb folds after so many commits, the others rewrite after so many bytes.
            Self::Rewrite if backend == Backend::Redb => small,
            Self::Rewrite => Script {
                clients: 3,
                steps: 8,
                record_bytes_max: 250_000,
                compact_after: 0,
            },
        }
    }

    /// The work that is done before, in peace, and how it ends.
    pub(crate) fn preparation(self, backend: Backend) -> Option<(Script, Task)> {
        let script = self.script(backend);
        match self {
            Self::Create => None,
            // Shortly before the 1,024 commits after which it folds; a close would fold them.
            Self::Rewrite if backend == Backend::Redb => {
                let script = Script {
                    clients: 63,
                    steps: 16,
                    record_bytes_max: 100,
                    compact_after: 0,
                };
                Some((script, Task::Leave))
            }
            _ => Some((script, Task::Commit)),
        }
    }
}

impl Script {
    /// An entry whose record has a random size, and whose version says which step made it.
    pub(crate) fn entry(&self, name: &str, version: &str, rng: &mut fastrand::Rng) -> ServiceEntry {
        let mut entry = ServiceEntry::new(name, version);
        let bytes = rng.usize(..self.record_bytes_max);
        entry.execution = ExecutionInfo::ManagedProcess {
            pid: None,
            command: text(bytes.min(TEXT_BYTES_MAX), rng),
        };
        let names = bytes.saturating_sub(TEXT_BYTES_MAX) / NAME_BYTES_MAX;
        entry.depends_on = (0..names.min(DEPENDENCIES_MAX))
            .map(|_| text(NAME_BYTES_MAX, rng))
            .collect();
        entry
    }
}

fn text(bytes: usize, rng: &mut fastrand::Rng) -> String {
    (0..bytes).map(|_| rng.lowercase()).collect()
}
