//! Copies a whole store into an empty one, with history, and reads it back.

use registry_core::commit::Verification;
use registry_core::limits::{CHANGES_PAGE_MAX, RANGE_PAGE_MAX};
use registry_core::{
    ChangesRequest, ErrorKind, Head, Kind, RangeRequest, RegistryStore, RestorePage, Result,
    SCHEMA, Seal, StoreError, Versioned,
};

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

/// Copies log and state of `source` into `target`, which is empty, and seals it.
///
/// # Errors
/// Those of the stores; `SchemaTooNew` for a record that this program would copy with a loss; `Invalid` where the source
/// does not add up to its own head.
pub async fn copy(
    source: &dyn RegistryStore,
    target: &dyn RegistryStore,
    progress: Progress<'_>,
) -> Result<Copied> {
    let head = source.head().await?;
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
    copy_records(source, target, &mut copied, progress).await?;
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
    let mut after = copied.head.compacted.revision;
    while after < copied.head.revision() {
        let page = source
            .changes(ChangesRequest {
                after,
                key: None,
                limit: CHANGES_PAGE_MAX,
            })
            .await?;
        copied.entries += page.entries.len() as u64;
        after = page.through;
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
    target: &dyn RegistryStore,
    copied: &mut Copied,
    progress: Progress<'_>,
) -> Result<()> {
    for kind in Kind::ALL {
        let mut after = None;
        loop {
            let page = source
                .range(RangeRequest {
                    kind,
                    after,
                    limit: RANGE_PAGE_MAX,
                })
                .await?;
            check_known(source, &page.records)?;
            copied.records += page.records.len() as u64;
            target
                .restore(RestorePage {
                    records: page.records,
                    ..RestorePage::default()
                })
                .await?;
            progress(copied.entries, copied.records);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// A record of a newer schema would lose what this program cannot see.
fn check_known(source: &dyn RegistryStore, records: &[Versioned]) -> Result<()> {
    let Some(newer) = records
        .iter()
        .find(|record| !record.image.schema().is_known())
    else {
        return Ok(());
    };
    let found = newer.image.schema();
    let detail = "copy a record that a newer program wrote; migrate with that program";
    let backend = source.capabilities().backend;
    Err(StoreError::new(ErrorKind::SchemaTooNew { found }, backend, detail).at_key(newer.key()))
}

/// Reads a store through the same methods that everybody uses, and compares it with a head.
///
/// # Errors
/// `Corrupted` with the first thing that does not fit.
pub async fn read_back(store: &dyn RegistryStore, expected: &Head) -> Result<()> {
    let mut verification = Verification::new(expected.clone());
    let mut after = expected.compacted.revision;
    while after < expected.revision() {
        let page = store
            .changes(ChangesRequest {
                after,
                key: None,
                limit: CHANGES_PAGE_MAX,
            })
            .await?;
        page.entries
            .iter()
            .for_each(|entry| verification.entry(entry));
        after = page.through;
    }
    for kind in Kind::ALL {
        let mut after = None;
        loop {
            let page = store
                .range(RangeRequest {
                    kind,
                    after,
                    limit: RANGE_PAGE_MAX,
                })
                .await?;
            page.records
                .iter()
                .for_each(|record| verification.record(record));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
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
