//! Retention of the log: what may be compacted, in bounded slices between groups.

use super::config::EngineConfig;
use crate::head::Head;
use crate::limits::CHANGES_PAGE_MAX;
use crate::revision::Revision;
use crate::store::{ChangesRequest, RegistryStore, Result};
use crate::time::Timestamp;

/// The last revision of the next slice, at most [`CHANGES_PAGE_MAX`] entries long; none where nothing is due.
pub(super) async fn due(
    store: &dyn RegistryStore,
    config: &EngineConfig,
    head: &Head,
    now: Timestamp,
) -> Result<Option<Revision>> {
    let after = head.compacted.revision;
    let request = ChangesRequest {
        after,
        key: None,
        limit: CHANGES_PAGE_MAX,
    };
    let page = store.changes(request).await?;
    let surplus = Revision(head.revision().0.saturating_sub(config.log_commits_max));
    let is_due = |revision: Revision, time: Timestamp| {
        revision <= surplus || now.saturating_since(time) > config.log_age_max
    };
    let commits = page.entries.iter().map(|entry| &entry.commit);
    let due = commits.take_while(|commit| is_due(commit.revision, commit.cause.time));
    Ok(due.last().map(|commit| commit.revision))
}
