//! The checkers. Each answers the first thing that cannot be.

mod linearizable;
mod revisions;
mod watch;

pub(crate) use linearizable::check_linearizable;
pub(crate) use revisions::check_revisions;
pub(crate) use watch::check_watch;

use crate::history::History;

/// Operations of a history up to which the search for a linearization is run, too: it grows faster than they do.
pub(crate) const SEARCHED_MAX: usize = 2500;

/// Runs every checker.
///
/// # Errors
/// What cannot be, in words.
pub(crate) fn check(history: &History) -> Result<(), String> {
    check_revisions(history)?;
    for (number, told) in history.watchers.iter().enumerate() {
        check_watch(told, &history.log)
            .map_err(|problem| format!("watcher {number}: {problem}"))?;
    }
    if history.operations.len() <= SEARCHED_MAX {
        check_linearizable(history)?;
    }
    Ok(())
}
