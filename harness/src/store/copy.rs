//! Copies a whole store into an empty one, with history, and reads it back.

use std::sync::Arc;

use registry_core::commit::Verification;
use registry_core::limits::RANGE_PAGE_MAX;
use registry_core::{
    ErrorKind, Head, Image, LogEntry, LogPages, RecordPages, RegistryStore, RestorePage, Result,
    SCHEMA, Seal, StoreError, Versioned,
};

use super::state::State;

/// Told of every page: how many log entries and records were handled.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Log entries.
    pub entries: u64,
    /// Records.
    pub records: u64,
    /// The head of both stores.
    pub head: Head,
}

/// Copies log and state of `source` into `target`, which is empty, and seals it. Others may write to the source
/// meanwhile: what is copied is the source at one revision.
///
/// # Errors
/// Those of the stores; `SchemaTooNew` for a record that this program would copy with a loss; `Invalid` where the source
/// does not add up to its own head.
pub async fn copy(
    source: &dyn RegistryStore,
    target: &dyn RegistryStore,
    progress: Progress<'_>,
) -> Result<Copied> {
    let State { head, records } = State::read(source).await?;
    let mut copied = Copied {
        entries: 0,
        records: 0,
        head,
    };
    if copied.head.is_empty() {
        return Ok(copied);
    }
    let anchor = Some(copied.head.compacted);
    target
        .restore(RestorePage {
            anchor,
            ..RestorePage::default()
        })
        .await?;
    copy_log(source, target, &mut copied, progress).await?;
    let records: Vec<Versioned> = records.into_values().collect();
    copy_records(source, &records, target, &mut copied, progress).await?;
    let seal = Some(Seal {
        head: copied.head.clone(),
        schema: SCHEMA,
    });
    target
        .restore(RestorePage {
            seal,
            ..RestorePage::default()
        })
        .await?;
    Ok(copied)
}

async fn copy_log(
    source: &dyn RegistryStore,
    target: &dyn RegistryStore,
    copied: &mut Copied,
    progress: Progress<'_>,
) -> Result<()> {
    let mut pages = LogPages::new(
        source,
        copied.head.compacted.revision,
        copied.head.revision(),
    );
    while let Some(mut page) = pages.next().await? {
        let end = copied.head.revision();
        page.entries.retain(|entry| entry.commit.revision <= end);
        check_known(source, images_of(&page.entries))?;
        copied.entries += page.entries.len() as u64;
        target
            .restore(RestorePage {
                entries: page.entries,
                ..RestorePage::default()
            })
            .await?;
        progress(copied.entries, copied.records);
    }
    Ok(())
}

async fn copy_records(
    source: &dyn RegistryStore,
    records: &[Versioned],
    target: &dyn RegistryStore,
    copied: &mut Copied,
    progress: Progress<'_>,
) -> Result<()> {
    for page in records.chunks(RANGE_PAGE_MAX) {
        check_known(source, page.iter().map(|record| &record.image))?;
        copied.records += page.len() as u64;
        target
            .restore(RestorePage {
                records: page.to_vec(),
                ..RestorePage::default()
            })
            .await?;
        progress(copied.entries, copied.records);
    }
    Ok(())
}

/// Refuses what a newer program wrote: a copy by this one would lose what it cannot see.
pub(super) fn check_known<'a>(
    source: &dyn RegistryStore,
    images: impl IntoIterator<Item = &'a Arc<Image>>,
) -> Result<()> {
    let Some(newer) = images.into_iter().find(|image| !image.schema().is_known()) else {
        return Ok(());
    };
    let found = newer.schema();
    let detail = "copy a record that a newer program wrote; copy it with that program";
    let backend = source.capabilities().backend;
    Err(StoreError::new(ErrorKind::SchemaTooNew { found }, backend, detail).at_key(newer.key()))
}

/// The records before and after that log entries hold.
pub(super) fn images_of(entries: &[Arc<LogEntry>]) -> impl Iterator<Item = &Arc<Image>> {
    let changes = entries.iter().flat_map(|entry| &entry.commit.changes);
    changes.flat_map(|change| change.before.iter().chain(&change.after))
}

/// Reads a store through the same methods that everybody uses, and compares it with a head.
///
/// # Errors
/// `Corrupted` with the first thing that does not fit.
pub async fn read_back(store: &dyn RegistryStore, expected: &Head) -> Result<()> {
    let mut verification = Verification::new(expected.clone());
    let mut log = LogPages::new(store, expected.compacted.revision, expected.revision());
    while let Some(page) = log.next().await? {
        page.entries
            .iter()
            .for_each(|entry| verification.entry(entry));
    }
    let mut records = RecordPages::new(store);
    while let Some(page) = records.next().await? {
        page.records
            .iter()
            .for_each(|record| verification.record(record));
    }
    let report = verification.finish();
    match report.findings.first() {
        None => Ok(()),
        Some(finding) => {
            let detail = format!(
                "read back what was written: {}: {}",
                finding.place, finding.problem
            );
            Err(StoreError::new(
                ErrorKind::Corrupted,
                store.capabilities().backend,
                detail,
            ))
        }
    }
}
