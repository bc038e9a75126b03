//! The check by revision: every answer tells which state it saw, so that nothing has to be searched for.
//!
//! It costs a sort and one pass, and a binary search for each key that an answer holds.

use std::collections::{BTreeMap, HashMap};

use registry_core::Revision;

use crate::history::{Answer, Call, Found, History, Logged, Operation};

/// Checks a history by the revisions in its answers: one order that agrees with the log and with real time.
///
/// # Errors
/// The first operation that cannot be, and why.
pub(crate) fn check_revisions(history: &History) -> Result<(), String> {
    let states = States::of(&history.log)?;
    let by_operation = writes_of(history)?;
    let bounds = Bounds::of(history, states.last);
    for operation in &history.operations {
        let at = bounds.of_operation(operation);
        check_one(operation, at, &states, &by_operation).map_err(|problem| {
            let Operation {
                id,
                client,
                call,
                answer,
                ..
            } = operation;
            format!("operation {id} of client {client}, {call:?} answered {answer:?}: {problem}")
        })?;
    }
    Ok(())
}

/// The state of each key after each commit that changed it.
struct States<'a> {
    last: Revision,
    keys: BTreeMap<&'a str, Vec<(Revision, Option<u64>)>>,
}

impl<'a> States<'a> {
    fn of(log: &'a [Logged]) -> Result<Self, String> {
        let mut states = Self {
            last: Revision::ZERO,
            keys: BTreeMap::new(),
        };
        for logged in log {
            if logged.revision != states.last.next() {
                let (expected, found) = (states.last.next(), logged.revision);
                return Err(format!(
                    "the log has revision {found} where {expected} comes next"
                ));
            }
            states.last = logged.revision;
            let key = states.keys.entry(&logged.key).or_default();
            key.push((logged.revision, logged.value));
        }
        Ok(states)
    }

    fn at(&self, key: &str, revision: Revision) -> Option<Found> {
        let changes = self.keys.get(key)?;
        let after = changes.partition_point(|(at, _)| *at <= revision);
        let (modified, value) = *changes.get(after.checked_sub(1)?)?;
        value.map(|value| Found { value, modified })
    }

    /// The states of a key between two revisions.
    fn between(
        &self,
        key: &str,
        first: Revision,
        last: Revision,
    ) -> impl Iterator<Item = Option<Found>> {
        let changes = self.keys.get(key).map_or(&[][..], Vec::as_slice);
        let from = changes.partition_point(|(at, _)| *at <= first);
        let to = changes.partition_point(|(at, _)| *at <= last);
        let later = changes.get(from..to.max(from)).unwrap_or_default().iter();
        let later = later.map(|(modified, value)| {
            value.map(|value| Found {
                value,
                modified: *modified,
            })
        });
        std::iter::once(self.at(key, first)).chain(later)
    }
}

/// The commit of each operation that the log names.
fn writes_of(history: &History) -> Result<HashMap<u64, &Logged>, String> {
    let mut writes = HashMap::new();
    for logged in &history.log {
        let Some(id) = logged.operation else { continue };
        if let Some(first) = writes.insert(id, logged) {
            let (first, second) = (first.revision, logged.revision);
            return Err(format!(
                "operation {id} was applied twice, at {first} and at {second}"
            ));
        }
    }
    Ok(writes)
}

/// What real time says of the revision of each operation.
struct Bounds {
    /// For each end, in order of time, the highest revision that was answered until then.
    answered: Vec<(u64, Revision)>,
    /// For each beginning of a write, in order of time, the lowest revision written from then on.
    written: Vec<(u64, Revision)>,
    last: Revision,
}

/// The revisions between which an operation took place: after the first, up to the last.
#[derive(Clone, Copy)]
struct Span {
    first: Revision,
    last: Revision,
}

impl Bounds {
    fn of(history: &History, last: Revision) -> Self {
        let operations = history.operations.iter();
        let mut answered: Vec<(u64, Revision)> = operations
            .clone()
            .filter_map(|it| Some((it.ended, told(&it.answer)?)))
            .collect();
        answered.sort_unstable();
        let mut highest = Revision::ZERO;
        for (_, revision) in &mut answered {
            highest = highest.max(*revision);
            *revision = highest;
        }
        let mut written: Vec<(u64, Revision)> = operations
            .filter_map(|it| match it.answer {
                Answer::Written(revision) => Some((it.began, revision)),
                _ => None,
            })
            .collect();
        written.sort_unstable();
        let mut lowest = last.next();
        for (_, revision) in written.iter_mut().rev() {
            lowest = lowest.min(*revision);
            *revision = lowest;
        }
        Self {
            answered,
            written,
            last,
        }
    }

    fn of_operation(&self, operation: &Operation) -> Span {
        let before = self
            .answered
            .partition_point(|(ended, _)| *ended < operation.began);
        let after = self
            .written
            .partition_point(|(began, _)| *began < operation.ended);
        let next = self.written.get(after).map(|(_, revision)| *revision);
        Span {
            first: before
                .checked_sub(1)
                .map_or(Revision::ZERO, |index| self.answered[index].1),
            last: next.map_or(self.last, |next| Revision(next.0.saturating_sub(1))),
        }
    }
}

/// The revision that an answer tells.
fn told(answer: &Answer) -> Option<Revision> {
    match answer {
        Answer::Written(revision)
        | Answer::Read { revision, .. }
        | Answer::Listed { revision, .. } => Some(*revision),
        Answer::Refused | Answer::Unknown | Answer::Failed => None,
    }
}

fn check_one(
    operation: &Operation,
    span: Span,
    states: &States<'_>,
    writes: &HashMap<u64, &Logged>,
) -> Result<(), String> {
    let logged = writes.get(&operation.id);
    if let Some(logged) = logged {
        check_logged(operation, logged, span)?;
    }
    match (&operation.answer, logged) {
        (Answer::Written(revision), None) => Err(format!("revision {revision} is another's")),
        (Answer::Written(revision), Some(logged)) if logged.revision != *revision => {
            Err(format!("the log has it at revision {}", logged.revision))
        }
        (Answer::Written(revision), _) => {
            check_expected(operation, Revision(revision.0 - 1), states)
        }
        (Answer::Refused | Answer::Failed, Some(logged)) => {
            Err(format!("the log has it, at revision {}", logged.revision))
        }
        (Answer::Refused, None) => check_refused(operation, span, states),
        (Answer::Read { revision, found }, _) => {
            check_time(*revision, span)?;
            let Call::Get { key } = &operation.call else {
                return Err("it is no read".to_owned());
            };
            compare(key, *found, states.at(key, *revision), *revision)
        }
        (Answer::Listed { revision, found }, _) => {
            check_time(*revision, span)?;
            check_list(found, *revision, states)
        }
        (Answer::Unknown | Answer::Failed, _) => Ok(()),
    }
}

fn check_time(revision: Revision, span: Span) -> Result<(), String> {
    if revision < span.first {
        return Err(format!(
            "revision {} was answered before it began",
            span.first
        ));
    }
    if revision > span.last {
        return Err(format!(
            "revision {} was written after it ended",
            span.last.next()
        ));
    }
    Ok(())
}

/// Checks that the commit is what was asked for, and came after what was answered before it.
fn check_logged(operation: &Operation, logged: &Logged, span: Span) -> Result<(), String> {
    let (key, value) = match &operation.call {
        Call::Put { key, value, .. } => (key, Some(*value)),
        Call::Delete { key, .. } => (key, None),
        Call::Get { .. } | Call::List => return Err("a read was committed".to_owned()),
    };
    if logged.key != *key || logged.value != value {
        return Err(format!(
            "the log has {:?} of {:?}",
            logged.value, logged.key
        ));
    }
    if logged.revision <= span.first {
        return Err(format!(
            "it is revision {}, and {} was answered before it began",
            logged.revision, span.first
        ));
    }
    Ok(())
}

/// Whether a write was legal on a state.
fn is_legal(call: &Call, state: Option<Found>) -> bool {
    let (expect, must_be_there) = match call {
        Call::Put { expect, .. } => (expect, false),
        Call::Delete { expect, .. } => (expect, true),
        Call::Get { .. } | Call::List => return true,
    };
    let modified = state.map_or(Revision::ZERO, |found| found.modified);
    expect.is_none_or(|expect| expect == modified) && (state.is_some() || !must_be_there)
}

fn key_of(call: &Call) -> &str {
    match call {
        Call::Put { key, .. } | Call::Delete { key, .. } | Call::Get { key } => key,
        Call::List => "",
    }
}

fn check_expected(
    operation: &Operation,
    before: Revision,
    states: &States<'_>,
) -> Result<(), String> {
    let state = states.at(key_of(&operation.call), before);
    if is_legal(&operation.call, state) {
        return Ok(());
    }
    Err(format!("it was committed on {state:?}"))
}

fn check_refused(operation: &Operation, span: Span, states: &States<'_>) -> Result<(), String> {
    let key = key_of(&operation.call);
    let mut possible = states.between(key, span.first, span.last);
    if possible.any(|state| !is_legal(&operation.call, state)) {
        return Ok(());
    }
    let (first, last) = (span.first, span.last);
    Err(format!(
        "it was legal at every revision from {first} to {last}"
    ))
}

fn compare(
    key: &str,
    found: Option<Found>,
    expected: Option<Found>,
    at: Revision,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "at revision {at} {key:?} is {expected:?}, it was answered {found:?}"
    ))
}

fn check_list(
    found: &BTreeMap<String, Found>,
    revision: Revision,
    states: &States<'_>,
) -> Result<(), String> {
    for key in states.keys.keys() {
        compare(
            key,
            found.get(*key).copied(),
            states.at(key, revision),
            revision,
        )?;
    }
    let unknown = found
        .keys()
        .find(|key| !states.keys.contains_key(key.as_str()));
    unknown.map_or(Ok(()), |key| Err(format!("nobody wrote {key:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{delete, get, history, list, put, refused, sequence, unknown};

    fn problem(history: &History) -> String {
        check_revisions(history).expect_err("the fault is planted")
    }

    #[test]
    fn a_history_that_can_be_passes() {
        let history = history(sequence([
            put("a", 1, 1),
            get("a", 1, Some((1, 1))),
            put("a", 2, 2),
            list(2, &[("a", 2, 2)]),
            delete("a", 3),
            get("a", 3, None),
            refused(Call::Delete {
                key: "a".into(),
                expect: None,
            }),
        ]));
        check_revisions(&history).unwrap();
    }

    #[test]
    fn stale_read_is_found() {
        let history = history(sequence([
            put("a", 1, 1),
            put("a", 2, 2),
            get("a", 1, Some((1, 1))),
        ]));
        assert!(problem(&history).contains("revision 2 was answered before it began"));
    }

    #[test]
    fn read_of_what_is_not_written_yet_is_found() {
        let mut history = history(sequence([
            put("a", 1, 1),
            get("a", 2, Some((2, 2))),
            put("a", 2, 2),
        ]));
        history.operations[1].id = 99;
        assert!(problem(&history).contains("was written after it ended"));
    }

    #[test]
    fn wrong_value_at_a_revision_is_found() {
        let history = history(sequence([put("a", 1, 1), get("a", 1, Some((7, 1)))]));
        assert!(problem(&history).contains("it was answered"));
    }

    #[test]
    fn list_of_two_revisions_is_found() {
        let history = history(sequence([
            put("a", 1, 1),
            put("b", 2, 2),
            list(2, &[("a", 1, 1)]),
        ]));
        assert!(problem(&history).contains("\"b\""));
    }

    #[test]
    fn revision_of_another_is_found() {
        let mut history = history(sequence([put("a", 1, 1), put("a", 2, 2)]));
        history.log[1].operation = None;
        assert!(problem(&history).contains("is another's"));
    }

    #[test]
    fn write_applied_twice_is_found() {
        let mut history = history(sequence([put("a", 1, 1)]));
        let again = Logged {
            revision: Revision(2),
            ..history.log[0].clone()
        };
        history.log.push(again);
        assert!(problem(&history).contains("applied twice"));
    }

    #[test]
    fn refused_write_in_the_log_is_found() {
        let mut history = history(sequence([put("a", 1, 1)]));
        history.operations[0].answer = Answer::Refused;
        assert!(problem(&history).contains("the log has it"));
    }

    #[test]
    fn refusal_without_a_reason_is_found() {
        let call = Call::Delete {
            key: "a".into(),
            expect: Some(Revision(1)),
        };
        let history = history(sequence([put("a", 1, 1), refused(call)]));
        assert!(problem(&history).contains("it was legal"));
    }

    #[test]
    fn write_on_another_state_than_expected_is_found() {
        let mut history = history(sequence([put("a", 1, 1), put("a", 2, 2)]));
        history.operations[1].call = Call::Put {
            key: "a".into(),
            value: 2,
            expect: Some(Revision::ZERO),
        };
        assert!(problem(&history).contains("it was committed on"));
    }

    #[test]
    fn lost_write_is_found() {
        let mut history = history(sequence([put("a", 1, 1), put("a", 2, 2)]));
        history.log.pop();
        assert!(check_revisions(&history).is_err());
    }

    #[test]
    fn unknown_write_may_be_there_or_not() {
        let mut history = history(sequence([unknown("a", 1), get("a", 0, None)]));
        check_revisions(&history).unwrap();
        history.log.push(Logged {
            revision: Revision(1),
            operation: Some(history.operations[0].id),
            key: "a".into(),
            value: Some(1),
        });
        check_revisions(&history).unwrap();
    }
}
