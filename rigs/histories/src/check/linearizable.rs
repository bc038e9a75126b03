//! The search for an order: a checker that knows nothing of revisions, for histories small enough for it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use porcupine_rs::{CheckResult, Model, Operation as Searched, check_operations_timeout};
use registry_core::Revision;

use crate::history::{Answer, Call, Found, History, Operation};

/// How long the search may take; what is not found by then is no finding.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(30);

/// A register for each key.
#[derive(Debug, Clone)]
struct Registers;

/// One operation on one key.
#[derive(Debug, Clone)]
struct Step {
    key: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Writes that state, legal where the state before was last modified at that revision.
    Write {
        after: Option<Found>,
        expect: Option<Revision>,
        must_be_there: bool,
    },
    /// Was refused, so that the state was not what it needed.
    Refusal {
        expect: Option<Revision>,
        must_be_there: bool,
    },
    Read(Option<Found>),
}

impl Model for Registers {
    type State = Option<Found>;
    type Op = Step;
    type Metadata = ();

    fn partition_operations(history: &[Searched<Self>]) -> Vec<Vec<Searched<Self>>> {
        let mut keys: BTreeMap<&str, Vec<Searched<Self>>> = BTreeMap::new();
        for operation in history {
            keys.entry(&operation.op.key)
                .or_default()
                .push(operation.clone());
        }
        keys.into_values().collect()
    }

    fn init() -> Self::State {
        None
    }

    fn step(state: &Self::State, step: &Step) -> (bool, Self::State) {
        match &step.kind {
            Kind::Write {
                after,
                expect,
                must_be_there,
            } => (is_legal(*state, *expect, *must_be_there), *after),
            Kind::Refusal {
                expect,
                must_be_there,
            } => (!is_legal(*state, *expect, *must_be_there), *state),
            Kind::Read(found) => (found == state, *state),
        }
    }
}

fn is_legal(state: Option<Found>, expect: Option<Revision>, must_be_there: bool) -> bool {
    let modified = state.map_or(Revision::ZERO, |found| found.modified);
    expect.is_none_or(|expect| expect == modified) && (state.is_some() || !must_be_there)
}

/// Searches for an order of the operations on each key that agrees with real time and with every answer.
///
/// # Errors
/// Where there is none.
pub(crate) fn check_linearizable(history: &History) -> Result<(), String> {
    let steps = steps_of(history);
    match check_operations_timeout(&steps, SEARCH_TIME_MAX) {
        CheckResult::Ok | CheckResult::Unknown => Ok(()),
        CheckResult::Illegal => Err(format!(
            "no order of the {} operations on some key agrees with their answers",
            steps.len()
        )),
    }
}

fn steps_of(history: &History) -> Vec<Searched<Registers>> {
    let committed: BTreeMap<u64, Revision> = history
        .log
        .iter()
        .filter_map(|logged| Some((logged.operation?, logged.revision)))
        .collect();
    let keys: BTreeSet<&str> = history
        .log
        .iter()
        .map(|logged| logged.key.as_str())
        .collect();
    let known: HashSet<u64> = history.operations.iter().map(|it| it.id).collect();
    debug_assert_eq!(known.len(), history.operations.len(), "ids are unique");
    let mut steps = Vec::new();
    for operation in &history.operations {
        let at = committed.get(&operation.id).copied();
        for (key, kind) in kinds_of(operation, at, &keys) {
            steps.push(Searched {
                client_id: u32::try_from(operation.client).ok(),
                call_time: time(operation.began),
                // Without an answer it may take effect at any time.
                return_time: match operation.answer {
                    Answer::Unknown => i64::MAX,
                    _ => time(operation.ended),
                },
                op: Step { key, kind },
                metadata: None,
            });
        }
    }
    steps
}

fn time(tick: u64) -> i64 {
    i64::try_from(tick).unwrap_or(i64::MAX)
}

/// The steps that an operation comes to; none for what was never applied.
fn kinds_of(
    operation: &Operation,
    committed: Option<Revision>,
    keys: &BTreeSet<&str>,
) -> Vec<(String, Kind)> {
    let write = |key: &String, value: Option<u64>, expect: Option<Revision>| {
        let must_be_there = value.is_none();
        let kind = match (&operation.answer, committed) {
            (Answer::Refused, _) => Kind::Refusal {
                expect,
                must_be_there,
            },
            (Answer::Written(modified), _) => Kind::Write {
                after: value.map(|value| Found {
                    value,
                    modified: *modified,
                }),
                expect,
                must_be_there,
            },
            (_, Some(modified)) => Kind::Write {
                after: value.map(|value| Found { value, modified }),
                expect,
                must_be_there,
            },
            _ => return Vec::new(),
        };
        vec![(key.clone(), kind)]
    };
    match (&operation.call, &operation.answer) {
        (Call::Put { key, value, expect }, _) => write(key, Some(*value), *expect),
        (Call::Delete { key, expect }, _) => write(key, None, *expect),
        (Call::Get { key }, Answer::Read { found, .. }) => vec![(key.clone(), Kind::Read(*found))],
        (Call::List, Answer::Listed { found, .. }) => keys
            .iter()
            .map(|key| ((*key).to_owned(), Kind::Read(found.get(*key).copied())))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{get, history, put, refused, sequence};

    #[test]
    fn overlapping_operations_have_an_order() {
        let mut operations = sequence([put("a", 1, 1), put("a", 2, 2), get("a", 1, Some((1, 1)))]);
        // The read overlaps the second write.
        operations[2].began = 2;
        check_linearizable(&history(operations)).unwrap();
    }

    #[test]
    fn stale_read_has_no_order() {
        let operations = sequence([put("a", 1, 1), put("a", 2, 2), get("a", 1, Some((1, 1)))]);
        assert!(check_linearizable(&history(operations)).is_err());
    }

    #[test]
    fn refusal_without_a_reason_has_no_order() {
        let call = Call::Put {
            key: "a".into(),
            value: 3,
            expect: Some(Revision(1)),
        };
        let operations = sequence([put("a", 1, 1), refused(call)]);
        assert!(check_linearizable(&history(operations)).is_err());
    }
}
