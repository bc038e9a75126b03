//! What clients asked and what they were answered, and what the log says of it.

use std::collections::BTreeMap;

use registry_core::Revision;
use serde::{Deserialize, Serialize};

/// A request of a client. Values are unique, so that every answer tells which write it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call {
    /// Puts a value under a key, where the record there was last modified at that revision, if one is named.
    Put {
        key: String,
        value: u64,
        expect: Option<Revision>,
    },
    /// Deletes what is there, as above.
    Delete {
        key: String,
        expect: Option<Revision>,
    },
    Get {
        key: String,
    },
    /// Everything, at one revision.
    List,
}

/// A record as a reader saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) value: u64,
    pub(crate) modified: Revision,
}

/// What a client was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It was committed with that revision.
    Written(Revision),
    /// What was asked for did not hold; nothing changed.
    Refused,
    Read {
        revision: Revision,
        found: Option<Found>,
    },
    Listed {
        revision: Revision,
        found: BTreeMap<String, Found>,
    },
    /// It may have been applied.
    Unknown,
    /// Nothing was applied, and nothing was told.
    Failed,
}

/// One request with its answer. Times are ticks of one counter for the whole history, so that no two are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: u64,
    pub(crate) client: usize,
    pub(crate) call: Call,
    pub(crate) answer: Answer,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

/// What the log says of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logged {
    pub(crate) revision: Revision,
    /// The operation that it names as its reason.
    pub(crate) operation: Option<u64>,
    pub(crate) key: String,
    /// None where it deleted.
    pub(crate) value: Option<u64>,
}

/// What a watcher was told, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// It began, or began again, after a revision.
    Began(Revision),
    /// A part of what the commit with that revision changed; more of it comes next.
    Part(Revision),
    /// The last part of what the commit with that revision changed.
    Change(Revision),
    /// Everything up to that revision was told.
    Through(Revision),
    /// It was told that it lost its place, and that everything up to that revision must be read anew.
    Lost(Revision),
}

/// A run: its operations, what its watchers were told, and the whole log in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) operations: Vec<Operation>,
    pub(crate) watchers: Vec<Vec<Told>>,
    pub(crate) log: Vec<Logged>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn write(call: Call, answer: Answer) -> Operation {
        Operation {
            id: 0,
            client: 0,
            call,
            answer,
            began: 0,
            ended: 0,
        }
    }

    pub(crate) fn put(key: &str, value: u64, revision: u64) -> Operation {
        let key = key.to_owned();
        let expect = None;
        write(
            Call::Put { key, value, expect },
            Answer::Written(Revision(revision)),
        )
    }

    pub(crate) fn unknown(key: &str, value: u64) -> Operation {
        let key = key.to_owned();
        let expect = None;
        write(Call::Put { key, value, expect }, Answer::Unknown)
    }

    pub(crate) fn delete(key: &str, revision: u64) -> Operation {
        let key = key.to_owned();
        write(
            Call::Delete { key, expect: None },
            Answer::Written(Revision(revision)),
        )
    }

    pub(crate) fn refused(call: Call) -> Operation {
        write(call, Answer::Refused)
    }

    fn found((value, modified): (u64, u64)) -> Found {
        Found {
            value,
            modified: Revision(modified),
        }
    }

    pub(crate) fn get(key: &str, revision: u64, value: Option<(u64, u64)>) -> Operation {
        let answer = Answer::Read {
            revision: Revision(revision),
            found: value.map(found),
        };
        write(
            Call::Get {
                key: key.to_owned(),
            },
            answer,
        )
    }

    pub(crate) fn list(revision: u64, values: &[(&str, u64, u64)]) -> Operation {
        let values = values.iter();
        let answer = Answer::Listed {
            revision: Revision(revision),
            found: values
                .map(|(key, value, at)| ((*key).to_owned(), found((*value, *at))))
                .collect(),
        };
        write(Call::List, answer)
    }

    /// Operations of one client, one after the other.
    pub(crate) fn sequence<const N: usize>(mut operations: [Operation; N]) -> Vec<Operation> {
        for (number, operation) in (0_u64..).zip(&mut operations) {
            operation.id = number;
            operation.began = 2 * number;
            operation.ended = 2 * number + 1;
        }
        operations.into()
    }

    /// A history with the log that its answers tell.
    pub(crate) fn history(operations: Vec<Operation>) -> History {
        let mut log: Vec<Logged> = operations.iter().filter_map(logged).collect();
        log.sort_by_key(|logged| logged.revision);
        History {
            operations,
            watchers: Vec::new(),
            log,
        }
    }

    fn logged(operation: &Operation) -> Option<Logged> {
        let Answer::Written(revision) = operation.answer else {
            return None;
        };
        let (key, value) = match &operation.call {
            Call::Put { key, value, .. } => (key.clone(), Some(*value)),
            Call::Delete { key, .. } => (key.clone(), None),
            Call::Get { .. } | Call::List => return None,
        };
        Some(Logged {
            revision,
            operation: Some(operation.id),
            key,
            value,
        })
    }
}
