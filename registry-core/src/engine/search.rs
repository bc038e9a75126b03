//! The whole log, page by page: who did what, and when.

use std::sync::Arc;

use super::error::RegistryError;
use super::page::check_limit;
use crate::error::ErrorKind;
use crate::limits::{CHANGES_PAGE_MAX, PAGE_BYTES_MAX};
use crate::log::LogEntry;
use crate::model::Name;
use crate::revision::Revision;
use crate::store::{ChangePage, ChangesRequest, RegistryStore};
use crate::time::Timestamp;

/// Most log entries in one page of a search.
pub const LOG_PAGE_MAX: usize = CHANGES_PAGE_MAX;
/// Pages of the store's log that one page of a search looks through; each has at most
/// [`CHANGES_PAGE_MAX`] entries and about [`PAGE_BYTES_MAX`] bytes.
pub const LOG_PAGES_READ_MAX: usize = 10;

/// Lets a log entry through that fits every field; an empty field fits all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// Who asked.
    pub actor: Option<String>,
    /// It changed a record of this service.
    pub service: Option<String>,
    /// What was asked, by the name of the action.
    pub action: Option<String>,
    /// It was planned then or later.
    pub since: Option<Timestamp>,
    /// It was planned before then.
    pub until: Option<Timestamp>,
}

impl LogFilter {
    /// Whether the entry fits.
    pub fn matches(&self, entry: &LogEntry) -> bool {
        let cause = &entry.commit.cause;
        let has_service = |service: &String| {
            let mut keys = entry.commit.changes.iter().map(|change| &change.key);
            keys.any(|key| {
                key.service_name()
                    .is_some_and(|name| name.as_str() == service)
            })
        };
        self.actor
            .as_ref()
            .is_none_or(|actor| cause.actor == *actor)
            && self
                .action
                .as_ref()
                .is_none_or(|action| cause.action == *action)
            && self.since.is_none_or(|since| cause.time >= since)
            && self.until.is_none_or(|until| cause.time < until)
            && self.service.as_ref().is_none_or(has_service)
    }
}

/// A part of the log.
#[derive(Debug, Clone, Default)]
pub struct LogRequest {
    /// Which entries.
    pub filter: LogFilter,
    /// Start after this revision; none starts with the oldest entry there is.
    pub after: Option<Revision>,
    /// Most entries, 1 to [`LOG_PAGE_MAX`]; none is the most.
    pub limit: Option<usize>,
}

/// Reads one page of a search, with work that has a bound whatever the filter lets through.
pub(super) async fn search(
    store: &dyn RegistryStore,
    request: &LogRequest,
) -> Result<ChangePage, RegistryError> {
    let limit = request.limit.unwrap_or(LOG_PAGE_MAX);
    check_limit(limit, LOG_PAGE_MAX)?;
    if let Some(service) = &request.filter.service {
        Name::new(service)?;
    }
    let mut found = Found {
        filter: &request.filter,
        limit,
        bytes: 0,
        entries: Vec::new(),
    };
    let page = first_page(store, request.after).await?;
    let (mut through, mut head) = (found.take(&page), page.head);
    for _ in 1..LOG_PAGES_READ_MAX {
        if found.is_full() || through >= head {
            break;
        }
        match read(store, through).await {
            Ok(page) => (through, head) = (found.take(&page), page.head),
            // What was read before it was compacted is an answer; the next page is refused.
            Err(error) if is_compacted(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(ChangePage {
        entries: found.entries,
        through,
        head,
    })
}

/// Entries that were found so far.
struct Found<'a> {
    filter: &'a LogFilter,
    limit: usize,
    bytes: usize,
    entries: Vec<Arc<LogEntry>>,
}

impl Found<'_> {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }

    /// Takes what fits of a page, and answers the revision through which it was looked at.
    fn take(&mut self, page: &ChangePage) -> Revision {
        for entry in &page.entries {
            if self.filter.matches(entry) {
                self.bytes += entry.body_bytes();
                self.entries.push(Arc::clone(entry));
            }
            if self.is_full() {
                return entry.commit.revision;
            }
        }
        page.through
    }
}

async fn read(store: &dyn RegistryStore, after: Revision) -> Result<ChangePage, RegistryError> {
    let request = ChangesRequest {
        after,
        key: None,
        limit: CHANGES_PAGE_MAX,
    };
    Ok(store.changes(request).await?)
}

/// The page after a revision, or the oldest page there is, also while the log is being compacted.
async fn first_page(
    store: &dyn RegistryStore,
    after: Option<Revision>,
) -> Result<ChangePage, RegistryError> {
    if let Some(after) = after {
        return read(store, after).await;
    }
    loop {
        let oldest = store.head().await?.compacted.revision;
        match read(store, oldest).await {
            Err(error) if is_compacted(&error) => {}
            read => return read,
        }
    }
}

fn is_compacted(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Store(error) if matches!(error.kind(), ErrorKind::Compacted { .. }))
}
