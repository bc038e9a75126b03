//! The six guarantees of a watch: ordered, unique, reliable, atomic, resumable, bookmarkable.

use registry_core::Revision;

use crate::history::{Logged, Told};

/// Checks what a watcher was told against the log.
///
/// # Errors
/// The guarantee that was broken, and where.
pub(crate) fn check_watch(told: &[Told], log: &[Logged]) -> Result<(), String> {
    let mut watcher = Watcher::default();
    for (place, told) in told.iter().enumerate() {
        let taken = watcher.take(*told, log);
        taken.map_err(|problem| format!("message {place}, {told:?}: {problem}"))?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Watcher {
    /// Everything up to here was told, or was said to be lost.
    position: Revision,
    /// The last revision that was said to be complete.
    bookmark: Revision,
    has_begun: bool,
    /// A commit of which a part was told.
    open: Option<Revision>,
}

impl Watcher {
    fn take(&mut self, told: Told, log: &[Logged]) -> Result<(), String> {
        if let Some(open) = self.open {
            let goes_on = match told {
                Told::Part(revision) | Told::Change(revision) => revision == open,
                // The connection ended; all of it is told again.
                Told::Began(_) | Told::Lost(_) => true,
                Told::Through(_) => false,
            };
            if !goes_on {
                return Err(format!("not atomic: revision {open} was told in part"));
            }
        }
        self.open = match told {
            Told::Part(revision) => Some(revision),
            _ => None,
        };
        match told {
            Told::Part(revision) => self.check_change(revision, log),
            Told::Began(after) => {
                if self.has_begun && after > self.position {
                    return Err(format!(
                        "it goes on after {after}, and was told up to {}",
                        self.position
                    ));
                }
                self.has_begun = true;
                self.position = after;
                self.bookmark = after;
                Ok(())
            }
            Told::Change(revision) => self.change(revision, log),
            Told::Through(revision) => self.through(revision, log),
            Told::Lost(through) => {
                if through < self.position {
                    return Err("not ordered: it was sent back".to_owned());
                }
                self.position = through;
                Ok(())
            }
        }
    }

    fn change(&mut self, revision: Revision, log: &[Logged]) -> Result<(), String> {
        self.check_change(revision, log)?;
        self.position = revision;
        Ok(())
    }

    fn check_change(&self, revision: Revision, log: &[Logged]) -> Result<(), String> {
        if revision == self.position {
            return Err("not unique: it was told before".to_owned());
        }
        if revision < self.position {
            return Err(format!("not ordered: {} was told before", self.position));
        }
        if revision <= self.bookmark {
            return Err(format!(
                "not bookmarkable: everything up to {} was complete",
                self.bookmark
            ));
        }
        self.nothing_between(revision, log)?;
        if entry(log, revision).is_none() {
            return Err("the log has no such commit".to_owned());
        }
        Ok(())
    }

    fn through(&mut self, revision: Revision, log: &[Logged]) -> Result<(), String> {
        if revision < self.bookmark {
            return Err(format!(
                "not bookmarkable: it goes back from {}",
                self.bookmark
            ));
        }
        self.nothing_between(revision.next(), log)?;
        self.position = self.position.max(revision);
        self.bookmark = revision;
        Ok(())
    }

    /// Checks that no commit after the position and before `next` was left out.
    fn nothing_between(&self, next: Revision, log: &[Logged]) -> Result<(), String> {
        let first = self.position.next();
        match entry(log, first) {
            Some(_) if first < next => Err(format!("not reliable: revision {first} was left out")),
            _ => Ok(()),
        }
    }
}

/// The entry of a revision in a log that begins with 1 and has no gaps.
fn entry(log: &[Logged], revision: Revision) -> Option<&Logged> {
    let index = usize::try_from(revision.0.checked_sub(1)?).ok()?;
    log.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{history, put, sequence};

    const R: fn(u64) -> Revision = Revision;

    fn check(told: &[Told]) -> Result<(), String> {
        let log = history(sequence([
            put("a", 1, 1),
            put("a", 2, 2),
            put("b", 3, 3),
            put("a", 4, 4),
        ]))
        .log;
        check_watch(told, &log)
    }

    fn problem(told: &[Told]) -> String {
        check(told).expect_err("the fault is planted")
    }

    use Told::{Began, Change, Lost, Part, Through};

    #[test]
    fn a_watch_that_keeps_its_promises_passes() {
        let told = [
            Began(R(0)),
            Change(R(1)),
            Change(R(2)),
            Through(R(2)),
            Began(R(2)),
            Change(R(3)),
            Lost(R(4)),
            Began(R(4)),
        ];
        check(&told).unwrap();
        check(&[Began(R(1)), Change(R(2)), Began(R(1)), Change(R(2))]).unwrap();
    }

    #[test]
    fn what_goes_back_is_not_ordered() {
        assert!(
            problem(&[Began(R(0)), Change(R(1)), Change(R(2)), Change(R(1))])
                .contains("not ordered")
        );
    }

    #[test]
    fn what_comes_twice_is_not_unique() {
        assert!(problem(&[Began(R(0)), Change(R(1)), Change(R(1))]).contains("not unique"));
    }

    #[test]
    fn what_is_left_out_is_not_reliable() {
        assert!(problem(&[Began(R(0)), Change(R(1)), Change(R(3))]).contains("not reliable"));
        assert!(problem(&[Began(R(0)), Change(R(1)), Through(R(2))]).contains("not reliable"));
    }

    #[test]
    fn what_goes_on_too_late_is_not_resumable() {
        assert!(problem(&[Began(R(0)), Change(R(1)), Began(R(2))]).contains("it goes on after 2"));
    }

    #[test]
    fn bookmark_that_goes_back_is_none() {
        assert!(
            problem(&[
                Began(R(0)),
                Change(R(1)),
                Change(R(2)),
                Through(R(2)),
                Through(R(1))
            ])
            .contains("not bookmarkable")
        );
    }

    #[test]
    fn commit_told_in_two_places_is_not_atomic() {
        check(&[
            Began(R(0)),
            Part(R(1)),
            Change(R(1)),
            Part(R(2)),
            Began(R(1)),
            Change(R(2)),
        ])
        .unwrap();
        assert!(problem(&[Began(R(0)), Part(R(1)), Part(R(2))]).contains("not atomic"));
    }

    #[test]
    fn commit_that_never_was_is_found() {
        assert!(problem(&[Began(R(4)), Change(R(5))]).contains("no such commit"));
    }
}
