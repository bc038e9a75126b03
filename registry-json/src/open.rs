//! How a store is found, created and read into memory.

use std::collections::BTreeMap;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use registry_core::commit::{Recent, replay};
use registry_core::durable::{rename_durably, sync_folder, temporary_path};
use registry_core::{
    Anchor, CodecError, ErrorKind, OpenMode, PathLock, Result, Revision, StoreError,
};

use crate::config::JsonConfig;
use crate::error;
use crate::facts::Facts;
use crate::log::{Index, Outline, Place, Writer, read_group, read_outlines, scan};
use crate::projection::not_a_store;
use crate::schema::{folder_of, segment_first, segment_path, snapshot_path, snapshot_revision};
use crate::snapshot::{self, State};
use crate::store::BACKEND;

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

/// Takes the lock and creates the store where the mode asks for it.
pub(crate) fn find(config: &JsonConfig) -> Result<Option<PathLock>> {
    let path = &config.path;
    let is_there = check_there(path)?;
    match config.mode {
        OpenMode::ReadOnly | OpenMode::Open if !is_there => {
            return Err(
                StoreError::new(ErrorKind::NotFound, BACKEND, "find a store").at_path(path),
            );
        }
        OpenMode::ReadOnly => return PathLock::share(BACKEND, path),
        OpenMode::Create if is_there => {
            let detail = "create a store where something is already";
            return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path));
        }
        _ => {}
    }
    let lock = PathLock::acquire(BACKEND, path)?;
    if !check_there(path)? {
        create(path)?;
    }
    Ok(Some(lock))
}

/// Whether a store is at the path; a file or a folder of others is an error.
fn check_there(path: &Path) -> Result<bool> {
    let folder = folder_of(path);
    let invalid = |path: &Path, detail: &str| {
        Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path))
    };
    let kind = |path: &Path| match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found.is_dir())),
        Err(error) if error.kind() == IoKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(BACKEND, "look for the store", path, error)),
    };
    match (kind(path)?, kind(&folder)?) {
        (Some(true), _) => invalid(path, "expected a file, found a folder"),
        (_, Some(false)) => invalid(&folder, "expected a folder, found a file"),
        (_, Some(true)) => Ok(true),
        (Some(false), None) => Err(not_a_store(path)),
        (None, None) => Ok(false),
    }
}

fn create(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    let temporary = temporary_path(&folder);
    match std::fs::remove_dir_all(&temporary) {
        Err(error) if error.kind() != IoKind::NotFound => {
            return Err(StoreError::io(
                BACKEND,
                "remove a leftover",
                &temporary,
                error,
            ));
        }
        _ => {}
    }
    private_folder()
        .create(&temporary)
        .map_err(error::io("create the folder", &temporary))?;
    snapshot::write(&temporary, &State::default())?;
    Writer::create(&temporary, Anchor::default())?;
    Facts::fresh().write(&temporary)?;
    sync_folder(BACKEND, &temporary)?;
    rename_durably(BACKEND, &temporary, &folder)
}

fn private_folder() -> std::fs::DirBuilder {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// The numbered files of a folder, in order, and what an interrupted write left.
pub(crate) struct Files {
    pub(crate) snapshots: Vec<Revision>,
    pub(crate) segments: Vec<Revision>,
    leftovers: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn list(folder: &Path) -> Result<Self> {
        let mut files = Self {
            snapshots: Vec::new(),
            segments: Vec::new(),
            leftovers: Vec::new(),
        };
        let refused = |error| StoreError::io(BACKEND, "list the folder", folder, error);
        for entry in std::fs::read_dir(folder).map_err(refused)? {
            let name = entry.map_err(refused)?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(revision) = snapshot_revision(name) {
                files.snapshots.push(revision);
            } else if let Some(first) = segment_first(name) {
                files.segments.push(first);
            } else if Path::new(name).extension().is_some_and(|it| it == "new") {
                files.leftovers.push(folder.join(name));
            }
        }
        files.snapshots.sort_unstable();
        files.segments.sort_unstable();
        Ok(files)
    }

    /// Leaves out what a newer file replaced, and answers where that is.
    fn set_aside(&mut self, folder: &Path, compacted: Anchor) -> Vec<PathBuf> {
        let newest = self.snapshots.pop();
        let mut obsolete = std::mem::take(&mut self.leftovers);
        obsolete.extend(self.snapshots.drain(..).map(|it| snapshot_path(folder, it)));
        self.snapshots.extend(newest);
        let next = compacted.revision.next();
        let kept = self.segments.partition_point(|first| *first <= next);
        let gone = self.segments.drain(..kept.saturating_sub(1));
        obsolete.extend(gone.map(|first| segment_path(folder, first)));
        obsolete
    }
}

/// Reads a store. With `is_writable`, leftovers of interrupted writes are removed.
pub(crate) fn load(path: &Path, is_writable: bool) -> Result<Loaded> {
    let folder = folder_of(path);
    let facts = Facts::read(&folder)?;
    let mut files = Files::list(&folder)?;
    let obsolete = files.set_aside(&folder, facts.compacted);
    let newest = files.snapshots.last();
    let newest = newest.ok_or_else(|| error::damaged(&folder, "the snapshot is missing"))?;
    let (mut state, snapshot_bytes) = snapshot::read(&folder, *newest)?;
    let base = state.head.last;
    if base.revision < facts.compacted.revision {
        let detail = format!(
            "expected a snapshot of revision {} or later, found {}",
            facts.compacted.revision, base.revision
        );
        return Err(error::damaged(&folder, detail));
    }
    state.head.compacted = facts.compacted;
    let mut marks = Marks::new([facts.compacted, facts.closed, base]);
    let mut loading = Loading {
        folder: &folder,
        folded: base.revision,
        index: Index::new(&folder),
        state,
        recent: Recent::default(),
        log_bytes: 0,
        failure: None,
    };
    let end = loading.read_log(&files.segments, &mut marks)?;
    marks.finish(&folder)?;
    if is_writable {
        // Not before what replaced it was read: until then it may be all that is left.
        remove(&obsolete)?;
    }
    let Loading {
        index,
        state,
        recent,
        log_bytes,
        ..
    } = loading;
    Ok(Loaded {
        facts,
        state,
        index,
        recent,
        snapshot: base.revision,
        snapshot_bytes,
        log_bytes,
        end,
    })
}

fn remove(obsolete: &[PathBuf]) -> Result<()> {
    obsolete.iter().try_for_each(|path| {
        std::fs::remove_file(path).map_err(error::io("remove a leftover", path))
    })
}

/// Places in the chain that must be met with their hash.
struct Marks(BTreeMap<Revision, Anchor>);

impl Marks {
    fn new(anchors: [Anchor; 3]) -> Self {
        let later = anchors[0].revision;
        // What the last close saw may have been compacted since.
        let anchors = anchors.into_iter().filter(|it| it.revision >= later);
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

struct Loading<'a> {
    folder: &'a Path,
    folded: Revision,
    index: Index,
    state: State,
    recent: Recent,
    log_bytes: u64,
    /// What replay found: its kind and place say more than a codec's error.
    failure: Option<StoreError>,
}

impl Loading<'_> {
    fn read_log(&mut self, segments: &[Revision], marks: &mut Marks) -> Result<(Revision, u64)> {
        let missing = || error::damaged(self.folder, "the log is missing");
        let current = segments.last().copied().ok_or_else(missing)?;
        let mut expected = None;
        let mut offset = 0;
        let compacted = self.state.head.compacted;
        for first in segments {
            if expected.is_none() && *first > compacted.revision.next() {
                let detail = format!("log entry {} is missing", compacted.revision.next());
                return Err(error::damaged(self.folder, detail));
            }
            let is_last = *first == current;
            let path = segment_path(self.folder, *first);
            let mut is_first = true;
            let read = scan(
                self.folder,
                *first,
                is_last,
                expected,
                |last, body, place| {
                    if std::mem::take(&mut is_first) {
                        marks.meet(last)?;
                    }
                    self.take(last, body, place, marks)
                },
            );
            if let Some(failure) = self.failure.take() {
                return Err(failure.at_path(&path));
            }
            let (last, end) = read?;
            if is_first {
                let met = marks.meet(last);
                met.map_err(|error| error::codec(&path, "follow the chain", error))?;
            }
            expected = Some(last);
            offset = end;
        }
        Ok((current, offset))
    }

    fn take(
        &mut self,
        mut last: Anchor,
        body: &[u8],
        place: Place,
        marks: &mut Marks,
    ) -> Result<Anchor, CodecError> {
        let mut outlines = read_outlines(body)?;
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
            marks.meet(last)?;
        }
        if last.revision > self.folded {
            self.log_bytes += body.len() as u64;
            self.replay(body)?;
        }
        let compacted = self.state.head.compacted.revision;
        outlines.retain(|outline| outline.revision > compacted);
        self.remember(&outlines);
        self.index.add(&outlines, place.ending(last.revision));
        Ok(last)
    }

    fn remember(&mut self, outlines: &[Outline]) {
        for outline in outlines {
            self.recent.add(outline.id, outline.revision);
        }
    }

    fn replay(&mut self, body: &[u8]) -> Result<(), CodecError> {
        let State { head, records } = &mut self.state;
        for entry in read_group(body)? {
            if entry.commit.revision <= self.folded {
                continue;
            }
            let writes = replay(BACKEND, head, &entry, &mut |key| {
                Ok(records.get(key).cloned())
            });
            match writes {
                Ok(writes) => {
                    for (key, write) in writes {
                        match write {
                            Some(record) => records.insert(key, record),
                            None => records.remove(&key),
                        };
                    }
                }
                Err(error) => {
                    let detail = error.detail().to_owned();
                    self.failure = Some(error);
                    return Err(CodecError::Fact(detail));
                }
            }
        }
        Ok(())
    }
}
