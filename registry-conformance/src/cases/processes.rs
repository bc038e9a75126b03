//! Other processes on the same store.

use registry_core::{ErrorKind, Revision};

use crate::case::{Case, Verdict, case, exclusive, shared, synced};
use crate::fixture::{expect_kind, put};
use crate::process::{Part, Process, service};
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(exclusive, second_process_is_told_the_holder),
    case!(exclusive, killed_holder_leaves_no_lock),
    case!(synced, killed_process_loses_nothing_acknowledged),
    case!(shared, commits_of_another_process_wake_a_waiter),
];

fn second_process_is_told_the_holder(subject: &Subject) -> Verdict {
    let mut other = Process::start(Part::Hold, subject.folder())?;
    other.acknowledged()?;
    let pid = other.pid();
    expect_kind(
        subject.open(),
        "Locked by the other process",
        |kind| matches!(kind, ErrorKind::Locked(holder) if holder.pid == Some(pid)),
    )?;
    other.end()?;
    assert_eq!(subject.open()?.apply(put("a", "1"))?, Revision(1));
    Ok(())
}

fn killed_holder_leaves_no_lock(subject: &Subject) -> Verdict {
    let mut other = Process::start(Part::Hold, subject.folder())?;
    other.acknowledged()?;
    other.kill()?;
    assert_eq!(subject.open()?.apply(put("a", "1"))?, Revision(1));
    Ok(())
}

fn killed_process_loses_nothing_acknowledged(subject: &Subject) -> Verdict {
    let mut least = Revision::ZERO;
    for round in 0..4 {
        let mut other = Process::start(Part::Commit, subject.folder())?;
        for _ in 0..=(20 * round) {
            least = other.acknowledged()?;
        }
        least = least.max(other.kill()?.unwrap_or_default());
        let store = subject.open()?;
        let head = store.revision()?;
        // The one under way may be there, too, but no more.
        let legal = least..=least.next();
        assert!(legal.contains(&head), "acknowledged {least}, found {head}");
        store.verify_clean()?;
        for revision in (1..=head.0).rev().take(50).map(Revision) {
            let found = store.version(&service(revision))?;
            assert_eq!(found, Some(revision.to_string()));
        }
        assert_eq!(store.log()?.len() as u64, head.0);
        store.close()?;
    }
    Ok(())
}

fn commits_of_another_process_wake_a_waiter(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let mut other = Process::start(Part::Commit, subject.folder())?;
    let mut seen = Revision::ZERO;
    while seen < Revision(50) {
        seen = store.wait_for_change(seen)?;
        assert!(store.revision()? >= seen);
        let acknowledged = other.acknowledged()?;
        assert!(store.revision()? >= acknowledged);
    }
    other.kill()?;
    store.verify_clean()
}
