//! How a store is read into memory: the log is checked on one thread while the snapshot is read on another, and what
//! was committed since the snapshot is put on top of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use registry_core::commit::{Recent, replay};
use registry_core::{Anchor, CodecError, LogEntry, Result, Revision, Versioned, beside};

use crate::error;
use crate::facts::Facts;
use crate::log::{Index, Outline, Place, read_group, read_outlines, scan};
use crate::open::Files;
use crate::schema::{folder_of, segment_path};
use crate::snapshot::{self, State};
use crate::store::BACKEND;

/// Groups of the log that wait for the snapshot to be read. With 64 commits of 700 bytes each, they are 11 MiB.
const GROUPS_AHEAD_MAX: usize = 256;

/// Everything that was read of a store.
pub(crate) struct Loaded {
    pub(crate) facts: Facts,
    pub(crate) state: State,
    pub(crate) index: Index,
    pub(crate) recent: Recent,
    /// Revision of the newest snapshot.
    pub(crate) snapshot: Revision,
    /// Size of the newest snapshot and of the log since, in bytes.
    pub(crate) snapshot_bytes: u64,
    pub(crate) log_bytes: u64,
    /// First revision of the last segment, and the end of its last good line.
    pub(crate) end: (Revision, u64),
}

/// Reads a store. With `is_writable`, leftovers of interrupted writes are removed.
pub(crate) fn load(path: &Path, is_writable: bool) -> Result<Loaded> {
    let folder = folder_of(path);
    let facts = Facts::read(&folder)?;
    let mut files = Files::list(&folder)?;
    let obsolete = files.set_aside(&folder, facts.compacted);
    let newest = files.snapshots.last().copied();
    let newest = newest.ok_or_else(|| error::damaged(&folder, "the snapshot is missing"))?;
    if newest < facts.compacted.revision {
        let detail = format!(
            "expected a snapshot of revision {} or later, found {newest}",
            facts.compacted.revision
        );
        return Err(error::damaged(&folder, detail));
    }
    let (sender, groups) = sync_channel(GROUPS_AHEAD_MAX);
    let scanning = Scanning::new(&folder, &facts, newest, sender);
    let (scanned, replayed) = beside(
        BACKEND,
        || scanning.read(&files.segments),
        || replay_behind(&folder, newest, facts.compacted, groups),
    )?;
    // The scan ends where nobody takes its groups any more: then the snapshot, or a group before, says why.
    let replayed = replayed?;
    let scanned = scanned?;
    if scanned.at_snapshot != Some(replayed.base) {
        let detail = format!(
            "expected the log to pass {:?}, as the snapshot does, found {:?}",
            replayed.base, scanned.at_snapshot
        );
        return Err(error::damaged(&folder, detail));
    }
    if is_writable {
        // Not before what replaced it was read: until then it may be all that is left.
        remove(&obsolete)?;
    }
    Ok(Loaded {
        facts,
        state: replayed.state,
        index: scanned.index,
        recent: scanned.recent,
        snapshot: newest,
        snapshot_bytes: replayed.snapshot_bytes,
        log_bytes: scanned.log_bytes,
        end: scanned.end,
    })
}

fn remove(obsolete: &[PathBuf]) -> Result<()> {
    obsolete.iter().try_for_each(|path| {
        std::fs::remove_file(path).map_err(error::io("remove a leftover", path))
    })
}

/// A group that was committed after the snapshot.
struct Group {
    /// First revision of its segment.
    segment: Revision,
    entries: Vec<Arc<LogEntry>>,
}

/// The state, and what it was read from.
struct Replayed {
    state: State,
    /// Where the snapshot is in the chain.
    base: Anchor,
    snapshot_bytes: u64,
}

/// Reads the snapshot, and puts the groups on top of it.
fn replay_behind(
    folder: &Path,
    snapshot: Revision,
    compacted: Anchor,
    groups: Receiver<Group>,
) -> Result<Replayed> {
    let (mut state, snapshot_bytes) = snapshot::read(folder, snapshot)?;
    let base = state.head.last;
    state.head.compacted = compacted;
    for Group { segment, entries } in groups {
        let since = entries.iter();
        let mut since = since.filter(|entry| entry.commit.revision > snapshot);
        let put = since.try_for_each(|entry| put(&mut state, entry));
        put.map_err(|error| error.at_path(&segment_path(folder, segment)))?;
    }
    Ok(Replayed {
        state,
        base,
        snapshot_bytes,
    })
}

fn put(state: &mut State, entry: &LogEntry) -> Result<()> {
    let State { head, records } = state;
    let mut before = |key: &_| Ok::<Option<Versioned>, _>(records.get(key).cloned());
    for (key, write) in replay(BACKEND, head, entry, &mut before)? {
        match write {
            Some(record) => records.insert(key, record),
            None => records.remove(&key),
        };
    }
    Ok(())
}

/// Places in the chain that must be met with their hash.
struct Marks(BTreeMap<Revision, Anchor>);

impl Marks {
    fn new(facts: &Facts) -> Self {
        let later = facts.compacted.revision;
        let anchors = [facts.compacted, facts.closed].into_iter();
        // What the last close saw may have been compacted since.
        let anchors = anchors.filter(|it| it.revision >= later);
        Self(anchors.map(|anchor| (anchor.revision, anchor)).collect())
    }

    fn meet(&mut self, at: Anchor) -> Result<(), CodecError> {
        match self.0.remove(&at.revision) {
            Some(expected) if expected != at => Err(CodecError::Hash {
                expected: expected.hash,
                found: at.hash,
            }),
            _ => Ok(()),
        }
    }

    fn finish(self, folder: &Path) -> Result<()> {
        match self.0.keys().next() {
            Some(revision) => Err(error::damaged(
                folder,
                format!("log entry {revision} is missing"),
            )),
            None => Ok(()),
        }
    }
}

/// The log, while it is read.
struct Scanning<'a> {
    folder: &'a Path,
    /// The last entry that compaction removed.
    compacted: Revision,
    /// Revision of the snapshot. What is later goes to `groups`.
    snapshot: Revision,
    groups: SyncSender<Group>,
    marks: Marks,
    scanned: Scanned,
}

/// What was read of the log.
struct Scanned {
    index: Index,
    recent: Recent,
    /// Where the chain is at the snapshot's revision.
    at_snapshot: Option<Anchor>,
    /// Size of the log since the snapshot, in bytes.
    log_bytes: u64,
    /// First revision of the last segment, and the end of its last good line.
    end: (Revision, u64),
}

impl<'a> Scanning<'a> {
    fn new(folder: &'a Path, facts: &Facts, snapshot: Revision, groups: SyncSender<Group>) -> Self {
        Self {
            folder,
            compacted: facts.compacted.revision,
            snapshot,
            groups,
            marks: Marks::new(facts),
            scanned: Scanned {
                index: Index::new(folder),
                recent: Recent::default(),
                at_snapshot: None,
                log_bytes: 0,
                end: (Revision::ZERO, 0),
            },
        }
    }

    fn read(mut self, segments: &[Revision]) -> Result<Scanned> {
        let missing = || error::damaged(self.folder, "the log is missing");
        let current = segments.last().copied().ok_or_else(missing)?;
        let mut expected = None;
        for first in segments {
            if expected.is_none() && *first > self.compacted.next() {
                let detail = format!("log entry {} is missing", self.compacted.next());
                return Err(error::damaged(self.folder, detail));
            }
            let is_last = *first == current;
            let mut is_first = true;
            let folder = self.folder;
            let read = scan(folder, *first, is_last, expected, |last, body, place| {
                if std::mem::take(&mut is_first) {
                    self.meet(last)?;
                }
                self.take(last, body, place)
            });
            let (last, end) = read?;
            if is_first {
                let path = segment_path(self.folder, *first);
                let met = self.meet(last);
                met.map_err(|error| error::codec(&path, "follow the chain", error))?;
            }
            expected = Some(last);
            self.scanned.end = (current, end);
        }
        self.marks.finish(self.folder)?;
        Ok(self.scanned)
    }

    fn meet(&mut self, at: Anchor) -> Result<(), CodecError> {
        if at.revision == self.snapshot {
            self.scanned.at_snapshot = Some(at);
        }
        self.marks.meet(at)
    }

    fn take(&mut self, mut last: Anchor, body: &[u8], place: Place) -> Result<Anchor, CodecError> {
        let mut entries = Vec::new();
        let mut outlines = if last.revision < self.snapshot {
            read_outlines(body)?
        } else {
            entries = read_group(body)?;
            entries.iter().map(|entry| (&**entry).into()).collect()
        };
        for outline in &outlines {
            if outline.revision != last.revision.next() || outline.previous != last.hash {
                return Err(CodecError::Hash {
                    expected: last.hash,
                    found: outline.previous,
                });
            }
            last = Anchor {
                revision: outline.revision,
                hash: outline.hash,
            };
            self.meet(last)?;
        }
        if last.revision > self.snapshot {
            if entries.is_empty() {
                // It began before the snapshot.
                entries = read_group(body)?;
            }
            self.scanned.log_bytes += body.len() as u64;
            self.hand_over(entries, place)?;
        }
        outlines.retain(|outline| outline.revision > self.compacted);
        self.remember(&outlines);
        self.scanned
            .index
            .add(&outlines, place.ending(last.revision));
        Ok(last)
    }

    fn hand_over(&self, entries: Vec<Arc<LogEntry>>, place: Place) -> Result<(), CodecError> {
        let group = Group {
            segment: place.segment,
            entries,
        };
        let sent = self.groups.send(group);
        // Told by nobody: what it could not be put on says more.
        sent.map_err(|_| CodecError::Fact("there is no state to put the group on".to_owned()))
    }

    fn remember(&mut self, outlines: &[Outline]) {
        for outline in outlines {
            self.scanned.recent.add(outline.id, outline.revision);
        }
    }
}
