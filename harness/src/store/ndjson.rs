//! The export with everything: one JSON value a line, in the order that a restore takes it.
//!
//! The first line is the header, then come log entries, then records, and the last line is the seal.

use std::io::{BufRead, Write};
use std::sync::Arc;

use registry_core::portable::{PortableEntry, PortableRecord};
use registry_core::{
    Anchor, ErrorKind, Head, LogEntry, LogPages, RegistryStore, RestorePage, SCHEMA, SchemaVersion,
    Seal, StoreError, Versioned,
};
use serde::{Deserialize, Serialize};

use super::copy::{Progress, check_known, images_of};
use super::state::State;

/// Longest line that is read, in bytes: a log entry holds a record twice.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Lines that are restored at a time.
const PAGE_LINES: usize = 500;
/// Records between two reports of progress.
const RECORDS_TOLD: u64 = 1000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line<'a> {
    HarnessExport {
        schema: SchemaVersion,
        anchor: Anchor,
    },
    Entry(PortableEntry<'a>),
    Record(Box<PortableRecord<'a>>),
    Seal(Seal),
}

/// An export that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ExportError {
    /// Number of the line, from 1.
    pub line: u64,
    /// Expected and found.
    pub problem: String,
}

/// Writes a store with log, records and seal.
pub(super) async fn write(
    store: &dyn RegistryStore,
    out: &mut (dyn Write + Send),
    progress: Progress<'_>,
) -> Result<Head, crate::Error> {
    let State {
        head,
        records: state,
    } = State::read(store).await?;
    put(
        out,
        &Line::HarnessExport {
            schema: SCHEMA,
            anchor: head.compacted,
        },
    )?;
    let (mut entries, mut records) = (0, 0);
    let mut log = LogPages::new(store, head.compacted.revision, head.revision());
    while let Some(page) = log.next().await? {
        check_known(store, images_of(&page.entries))?;
        let end = head.revision();
        for entry in page
            .entries
            .iter()
            .filter(|entry| entry.commit.revision <= end)
        {
            put(out, &Line::Entry(PortableEntry::from(&**entry)))?;
        }
        entries += page.entries.len() as u64;
        progress(entries, records);
    }
    check_known(store, state.values().map(|record| &record.image))?;
    for record in state.values() {
        put(out, &Line::Record(Box::new(record.into())))?;
        records += 1;
        if records.is_multiple_of(RECORDS_TOLD) {
            progress(entries, records);
        }
    }
    progress(entries, records);
    put(
        out,
        &Line::Seal(Seal {
            head: head.clone(),
            schema: SCHEMA,
        }),
    )?;
    Ok(head)
}

fn put(out: &mut (dyn Write + Send), line: &Line<'_>) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Restores an export into an empty store.
pub(super) async fn restore(
    reader: impl BufRead + Send,
    store: &dyn RegistryStore,
    progress: Progress<'_>,
) -> Result<Head, crate::Error> {
    let mut lines = Lines { reader, number: 0 };
    let Some(Line::HarnessExport { schema, anchor }) = lines.next()? else {
        return Err(lines.error("expected the header of an export").into());
    };
    check_schema(schema)?;
    let mut page = RestorePage {
        anchor: Some(anchor),
        ..RestorePage::default()
    };
    let (mut entries, mut records) = (0, 0);
    loop {
        match lines.next()? {
            Some(Line::Entry(entry)) => {
                entries += 1;
                let entry =
                    LogEntry::try_from(entry).map_err(|error| lines.error(&error.to_string()))?;
                page.entries.push(Arc::new(entry));
            }
            Some(Line::Record(record)) => {
                records += 1;
                let record = Versioned::try_from(*record)
                    .map_err(|error| lines.error(&error.to_string()))?;
                page.records.push(record);
            }
            Some(Line::Seal(seal)) => {
                if lines.next()?.is_some() {
                    return Err(lines.error("expected the end after the seal").into());
                }
                check_schema(seal.schema)?;
                let head = seal.head.clone();
                page.seal = Some(seal);
                store.restore(page).await?;
                return Ok(head);
            }
            Some(Line::HarnessExport { .. }) => {
                return Err(lines.error("expected one header, found two").into());
            }
            None => {
                return Err(lines
                    .error("expected the seal, found the end: the export is cut off")
                    .into());
            }
        }
        if page.entries.len() + page.records.len() >= PAGE_LINES {
            store.restore(std::mem::take(&mut page)).await?;
            progress(entries, records);
        }
    }
}

fn check_schema(schema: SchemaVersion) -> Result<(), StoreError> {
    if schema.is_known() {
        return Ok(());
    }
    let detail = "read an export of a newer program";
    let kind = ErrorKind::SchemaTooNew { found: schema };
    Err(StoreError::new(kind, "export", detail))
}

struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn error(&self, problem: &str) -> ExportError {
        ExportError {
            line: self.number,
            problem: problem.to_owned(),
        }
    }

    fn next(&mut self) -> Result<Option<Line<'static>>, crate::Error> {
        self.number += 1;
        let mut text = Vec::new();
        let read = std::io::Read::take(&mut self.reader, LINE_BYTES_MAX + 1)
            .read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(None);
        }
        if text.len() as u64 > LINE_BYTES_MAX {
            return Err(self
                .error(&format!(
                    "expected at most {LINE_BYTES_MAX} bytes in a line"
                ))
                .into());
        }
        if text.last() != Some(&b'\n') {
            return Err(self
                .error("the line has no end: the export is cut off")
                .into());
        }
        let line = serde_json::from_slice(&text).map_err(|error| self.error(&error.to_string()))?;
        Ok(Some(line))
    }
}
