//! What can still be read of a damaged store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use registry_core::portable::PortableEntry;
use registry_core::{Finding, LogEntry, PathLock, Result, Salvage};

use crate::error;
use crate::line::{split, written};
use crate::log::read_group;
use crate::open::Files;
use crate::schema::{folder_of, segment_path, snapshot_path};
use crate::snapshot;
use crate::store::BACKEND;
use crate::verify::told;

/// How an entry begins in a group.
const ENTRY_START: &[u8] = b"{\"revision\":";

/// Reads every log entry and every record that can be read, line by line. Writes nothing.
///
/// The records are those of the newest snapshot; the log entries after it tell the rest.
///
/// # Errors
/// `Locked` with the holder; `NotFound` where there is no folder; `Unavailable`.
pub fn salvage(path: &Path) -> Result<Salvage> {
    let _lock = PathLock::share(BACKEND, path)?;
    let folder = folder_of(path);
    let files = Files::list(&folder)?;
    let mut salvage = Salvage::default();
    if let Some(newest) = files.snapshots.last() {
        let path = snapshot_path(&folder, *newest);
        let losses = &mut salvage.losses;
        let records = snapshot::salvage(&path, |line, error| {
            losses.push(loss(&path, line, told(error)));
        });
        match records {
            Ok(records) => salvage.records = records,
            Err(error) => salvage.losses.push(loss(&path, 1, told(&error))),
        }
    }
    for first in &files.segments {
        salvage_segment(&segment_path(&folder, *first), &mut salvage);
    }
    let entries = std::mem::take(&mut salvage.entries).into_iter();
    // A compaction that was interrupted leaves an entry in two segments.
    let by_revision: BTreeMap<_, _> = entries.map(|it| (it.commit.revision, it)).collect();
    salvage.entries = by_revision.into_values().collect();
    salvage
        .records
        .sort_by(|one, other| one.key().cmp(other.key()));
    Ok(salvage)
}

fn loss(path: &Path, line: usize, problem: String) -> Finding {
    let place = format!("{}, line {line}", path.display());
    Finding { place, problem }
}

fn salvage_segment(path: &Path, salvage: &mut Salvage) {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(cause) => {
            let error = error::missing(path)(cause);
            salvage.losses.push(loss(path, 1, told(&error)));
            return;
        }
    };
    let lines = written(&content).split(|byte| *byte == b'\n');
    for (number, line) in lines.enumerate() {
        let entries = split(line).and_then(|(tag, body)| match tag {
            b"group" => read_group(body),
            _ => Ok(Vec::new()),
        });
        match entries {
            Ok(entries) => salvage.entries.extend(entries),
            Err(_) if line.is_empty() => {}
            Err(error) => {
                let entries = entries_within(line);
                let problem = format!("{error}; {} entries of it are whole", entries.len());
                salvage.losses.push(loss(path, number + 1, problem));
                salvage.entries.extend(entries);
            }
        }
    }
}

/// The entries of a damaged line that are whole, by their own hashes.
fn entries_within(line: &[u8]) -> Vec<Arc<LogEntry>> {
    let mut entries = Vec::new();
    let mut rest = line;
    while let Some(start) = find(rest, ENTRY_START) {
        rest = &rest[start..];
        let mut values =
            serde_json::Deserializer::from_slice(rest).into_iter::<PortableEntry<'_>>();
        let read = values.next().and_then(Result::ok);
        let entry = read.and_then(|read| LogEntry::try_from(read).ok());
        let taken = match entry.filter(LogEntry::is_intact) {
            Some(entry) => {
                entries.push(Arc::new(entry));
                values.byte_offset()
            }
            None => ENTRY_START.len(),
        };
        rest = &rest[taken..];
    }
    entries
}

fn find(content: &[u8], wanted: &[u8]) -> Option<usize> {
    content.windows(wanted.len()).position(|it| it == wanted)
}
