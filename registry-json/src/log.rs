//! The log: segments of JSON lines, a line for each group, and where each line lies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry_core::commit::ChangeCollector;
use registry_core::portable::PortableEntry;
use registry_core::{
    Anchor, CodecError, Hash, Key, LogEntry, Result, Revision, Runway, StoreError, TransactionId,
    private_options,
};
use serde::{Deserialize, Serialize};

use crate::error;
use crate::line::{body_of, is_torn, is_unwritten, parse, replace_file, write_line};
use crate::schema::{LAYOUT, LOG_FORMAT, segment_path};
use crate::store::BACKEND;

const HEADER: &str = "header";
const GROUP: &str = "group";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: String,
    layout: u32,
    /// The entry before the first one of the segment.
    after: Anchor,
}

impl Header {
    fn new(after: Anchor) -> Self {
        Self {
            format: LOG_FORMAT.to_owned(),
            layout: LAYOUT,
            after,
        }
    }
}

/// What an index needs of an entry. The rest is not parsed.
#[derive(Deserialize)]
pub(crate) struct Outline {
    pub(crate) revision: Revision,
    pub(crate) id: TransactionId,
    pub(crate) previous: Hash,
    pub(crate) hash: Hash,
    changes: Vec<OutlineChange>,
}

#[derive(Deserialize)]
struct OutlineChange {
    key: Key,
}

impl From<&LogEntry> for Outline {
    fn from(entry: &LogEntry) -> Self {
        let changes = entry.commit.changes.iter();
        Self {
            revision: entry.commit.revision,
            id: entry.commit.id,
            previous: entry.previous,
            hash: entry.hash,
            changes: changes
                .map(|change| OutlineChange {
                    key: change.key.clone(),
                })
                .collect(),
        }
    }
}

/// Where the line of a group lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// First revision of its segment.
    pub(crate) segment: Revision,
    offset: u64,
    bytes: usize,
    /// Revision of its last entry.
    last: Revision,
}

/// The line of a group.
pub(crate) fn group_line(entries: &[Arc<LogEntry>]) -> Vec<u8> {
    let portable: Vec<PortableEntry<'_>> = entries.iter().map(|entry| (&**entry).into()).collect();
    write_line(GROUP, &portable)
}

/// Reads the entries of a checked line.
pub(crate) fn read_group(body: &[u8]) -> Result<Vec<Arc<LogEntry>>, CodecError> {
    let portable: Vec<PortableEntry<'_>> = parse(body)?;
    let entries = portable.into_iter().map(LogEntry::try_from);
    entries.map(|entry| entry.map(Arc::new)).collect()
}

/// Reads the outlines of a checked line.
pub(crate) fn read_outlines(body: &[u8]) -> Result<Vec<Outline>, CodecError> {
    parse(body)
}

/// Where everything in the log lies. Some 40 bytes for each group, and 8 for each change of a key.
#[derive(Debug, Default)]
pub(crate) struct Index {
    folder: PathBuf,
    groups: BTreeMap<Revision, Place>,
    by_key: BTreeMap<Key, Vec<Revision>>,
    /// Entries that were acknowledged and are not in a file yet: with an interval they are written as one group when
    /// it is over, since only one line can be torn at the end of a log.
    pub(crate) pending: Vec<Arc<LogEntry>>,
}

impl Index {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            ..Self::default()
        }
    }

    /// Adds a group, later than those before.
    pub(crate) fn add(&mut self, outlines: &[Outline], place: Place) {
        let Some(first) = outlines.first() else {
            return;
        };
        self.groups.insert(first.revision, place);
        for outline in outlines {
            for change in &outline.changes {
                let revisions = self.by_key.entry(change.key.clone()).or_default();
                revisions.push(outline.revision);
            }
        }
    }

    /// Where the last group of a segment lies, in bytes, if it has one and is the last segment.
    pub(crate) fn last_line(&self, segment: Revision) -> Option<Range<u64>> {
        let (_, place) = self.groups.last_key_value()?;
        let end = place.offset + place.bytes as u64;
        (place.segment == segment).then_some(place.offset..end)
    }

    /// Forgets everything up to a revision.
    fn forget(&mut self, through: Revision) {
        self.groups.retain(|_, place| place.last > through);
        self.by_key.retain(|_, revisions| {
            revisions.retain(|revision| *revision > through);
            !revisions.is_empty()
        });
    }

    fn place_of(&self, revision: Revision) -> Option<Place> {
        let (_, place) = self.groups.range(..=revision).next_back()?;
        (place.last >= revision).then_some(*place)
    }

    /// Reads what a page wants.
    pub(crate) fn collect(&self, after: Revision, page: &mut ChangeCollector<'_>) -> Result<()> {
        match page.key() {
            Some(key) => self.collect_of_key(key, after, page)?,
            None => self.collect_all(page)?,
        }
        let key = page.key();
        let pending = self.pending.iter();
        for entry in pending.filter(|entry| key.is_none_or(|key| entry.touches(key))) {
            page.take(entry)?;
        }
        Ok(())
    }

    fn collect_of_key(
        &self,
        key: &Key,
        after: Revision,
        page: &mut ChangeCollector<'_>,
    ) -> Result<()> {
        let revisions = self.by_key.get(key).map_or(&[][..], Vec::as_slice);
        let start = revisions.partition_point(|revision| *revision <= after);
        let mut reader = Reader::new(&self.folder);
        let mut group: Vec<Arc<LogEntry>> = Vec::new();
        for revision in &revisions[start..] {
            if page.is_done() {
                break;
            }
            let is_within = |entry: &&Arc<LogEntry>| entry.commit.revision == *revision;
            if group.iter().find(is_within).is_none() {
                let place = self.place_of(*revision);
                group = reader.read(place.ok_or_else(|| self.missing(*revision))?)?;
            }
            let entry = group.iter().find(is_within);
            page.take(entry.ok_or_else(|| self.missing(*revision))?)?;
        }
        Ok(())
    }

    fn collect_all(&self, page: &mut ChangeCollector<'_>) -> Result<()> {
        let mut reader = Reader::new(&self.folder);
        let pending = self.pending.first().map(|entry| entry.commit.revision);
        while !page.is_done() && pending != Some(page.next()) {
            let next = page.next();
            if pending.is_some_and(|pending| pending < next) {
                break;
            }
            let place = self.place_of(next).ok_or_else(|| self.missing(next))?;
            for entry in reader.read(place)? {
                page.take(&entry)?;
            }
            if page.next() == next {
                return Err(self.missing(next));
            }
        }
        Ok(())
    }

    /// Reads every group, in order, without what was compacted of it: a compaction that was interrupted leaves the line
    /// of a group whole that it ended within.
    pub(crate) fn each_group(&self, mut each: impl FnMut(Revision, Result<Vec<Arc<LogEntry>>>)) {
        let mut reader = Reader::new(&self.folder);
        for (first, place) in &self.groups {
            let group = reader.read(*place).map(|mut entries| {
                entries.retain(|entry| entry.commit.revision >= *first);
                entries
            });
            each(*first, group);
        }
    }

    fn missing(&self, revision: Revision) -> StoreError {
        error::damaged(&self.folder, format!("log entry {revision} is missing"))
    }
}

/// Reads lines of segments, with the last segment kept open.
struct Reader<'a> {
    folder: &'a Path,
    open: Option<(Revision, File)>,
}

impl<'a> Reader<'a> {
    fn new(folder: &'a Path) -> Self {
        Self { folder, open: None }
    }

    fn read(&mut self, place: Place) -> Result<Vec<Arc<LogEntry>>> {
        let path = segment_path(self.folder, place.segment);
        let refused = error::missing(&path);
        let line = self.read_line(&path, place).map_err(refused)?;
        let read = || read_group(body_of(GROUP, line.strip_suffix(b"\n").unwrap_or(&line))?);
        read().map_err(|error| {
            let detail = format!("read the group at offset {}", place.offset);
            error::codec(&path, detail, error)
        })
    }

    fn read_line(&mut self, path: &Path, place: Place) -> std::io::Result<Vec<u8>> {
        let file = match self.open.take() {
            Some((segment, file)) if segment == place.segment => file,
            _ => File::open(path)?,
        };
        let (_, file) = self.open.insert((place.segment, file));
        file.seek(SeekFrom::Start(place.offset))?;
        let mut line = Vec::with_capacity(place.bytes);
        file.take(place.bytes as u64).read_to_end(&mut line)?;
        Ok(line)
    }
}

/// The last segment, which is written. Until it is finished there are zeros behind its last line.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    first: Revision,
    offset: u64,
    runway: Runway,
}

impl Writer {
    /// Begins a segment after an entry.
    pub(crate) fn create(folder: &Path, after: Anchor) -> Result<Self> {
        let first = after.revision.next();
        let line = write_line(HEADER, &Header::new(after));
        replace_file(&segment_path(folder, first), &line)?;
        let end = line.len() as u64;
        Self::open(folder, first, end..end)
    }

    /// Goes on with a segment whose good bytes end with the line `last`. What is behind them is cut off.
    pub(crate) fn open(folder: &Path, first: Revision, last: Range<u64>) -> Result<Self> {
        let path = segment_path(folder, first);
        let refused = |error| StoreError::io(BACKEND, "open the log segment", &path, error);
        Ok(Self {
            folder: folder.to_path_buf(),
            file: go_on(&path, &last).map_err(refused)?,
            path,
            first,
            offset: last.end,
            runway: Runway::new(last.end),
        })
    }

    /// Finishes the segment and begins the next one.
    pub(crate) fn follow(&mut self, after: Anchor) -> Result<()> {
        // Only the last segment may have anything behind its last line.
        self.finish()?;
        *self = Self::create(&self.folder, after)?;
        Ok(())
    }

    /// Cuts off the zeros behind the last line, durably.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let refused = error::io("finish the log segment", &self.path);
        let cut = self.file.set_len(self.offset);
        self.runway.cut(self.offset);
        cut.and_then(|()| self.file.sync_all()).map_err(refused)
    }

    /// Size of the segment, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset
    }

    /// First revision of the segment.
    pub(crate) fn first(&self) -> Revision {
        self.first
    }

    /// Appends a group without a sync, and answers where it lies.
    pub(crate) fn append(&mut self, line: &[u8], last: Revision) -> Result<Place> {
        let written = self.write(line);
        written.map_err(error::io("append to the log", &self.path))?;
        let place = Place {
            segment: self.first,
            offset: self.offset,
            bytes: line.len(),
            last,
        };
        self.offset += line.len() as u64;
        Ok(place)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let mut put = |at, bytes: &[u8]| {
            self.file.seek(SeekFrom::Start(at))?;
            self.file.write_all(bytes)
        };
        let end = self.offset + line.len() as u64;
        self.runway.extend(self.offset, end, u64::MAX, &mut put)?;
        put(self.offset, line)
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let synced = self.file.sync_data();
        synced.map_err(error::io("sync the log", &self.path))
    }

    /// Removes the log up to an anchor from the files and from the index. The facts have the anchor already.
    pub(crate) fn compact(&mut self, index: &mut Index, anchor: Anchor) -> Result<()> {
        let through = anchor.revision;
        let old: Vec<Revision> = segments_of(index, self.first);
        let next = through.next();
        index.forget(through);
        let split = old.iter().copied().rfind(|first| *first <= next);
        // A segment that begins right behind the anchor is kept as it is.
        if let Some(segment) = split.filter(|first| *first != next) {
            self.rewrite(index, segment, anchor)?;
        }
        for first in old.into_iter().filter(|first| *first < next) {
            let path = segment_path(&self.folder, first);
            std::fs::remove_file(&path).map_err(error::io("remove a log segment", &path))?;
        }
        registry_core::durable::sync_folder(BACKEND, &self.folder)
    }

    /// Writes what is left of a segment behind an anchor as a segment of its own.
    fn rewrite(&mut self, index: &mut Index, segment: Revision, anchor: Anchor) -> Result<()> {
        let first = anchor.revision.next();
        let mut content = write_line(HEADER, &Header::new(anchor));
        let mut moved = Vec::new();
        let mut reader = Reader::new(&self.folder);
        for (key, place) in &index.groups {
            if place.segment != segment {
                continue;
            }
            let mut entries = reader.read(*place)?;
            entries.retain(|entry| entry.commit.revision > anchor.revision);
            let line = group_line(&entries);
            let place = Place {
                segment: first,
                offset: content.len() as u64,
                bytes: line.len(),
                last: place.last,
            };
            moved.push((*key, (*key).max(first), place));
            content.extend(line);
        }
        replace_file(&segment_path(&self.folder, first), &content)?;
        for (old, new, place) in moved {
            index.groups.remove(&old);
            index.groups.insert(new, place);
        }
        if self.first == segment {
            let end = content.len() as u64;
            *self = Self::open(&self.folder, first, end..end)?;
        }
        Ok(())
    }
}

/// Opens a segment to append to it, cut off after its last good line, and makes that line durable: it is shown from
/// now on.
///
/// A process that was killed may have left it unsynced. A process whose sync failed may have left it in the system's
/// cache alone, where it counts as clean, so that no sync writes it before it is written again.
fn go_on(path: &Path, last: &Range<u64>) -> io::Result<File> {
    let mut file = private_options().read(true).write(true).open(path)?;
    if file.metadata()?.len() != last.end {
        file.set_len(last.end)?;
    }
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(last.start))?;
    (&file).take(last.end - last.start).read_to_end(&mut line)?;
    file.seek(SeekFrom::Start(last.start))?;
    file.write_all(&line)?;
    file.sync_all()?;
    Ok(file)
}

/// The segments that have groups, and the one that is written.
fn segments_of(index: &Index, current: Revision) -> Vec<Revision> {
    let mut segments: Vec<Revision> = index.groups.values().map(|place| place.segment).collect();
    segments.push(current);
    segments.sort_unstable();
    segments.dedup();
    segments
}

/// Reads a segment from its beginning: `each` takes the body of every group line.
///
/// Answers the anchor that the segment begins after, and the offset of the end of its last good line. What is behind
/// that is a torn append, which only the last segment may have.
pub(crate) fn scan(
    folder: &Path,
    first: Revision,
    is_last: bool,
    expected: Option<Anchor>,
    mut each: impl FnMut(Anchor, &[u8], Place) -> Result<Anchor, CodecError>,
) -> Result<(Anchor, u64)> {
    let path = segment_path(folder, first);
    let content = std::fs::read(&path).map_err(error::missing(&path))?;
    let header = first_line(&path, first, &content)?;
    let after = header.after;
    if expected.is_some_and(|expected| expected != after) {
        let detail = format!("expected a segment after {expected:?}, found one after {after:?}");
        return Err(error::damaged(&path, detail));
    }
    let mut last = after;
    let mut offset = 0;
    for (number, line) in lines(&content).enumerate() {
        let place = Place {
            segment: first,
            offset: offset as u64,
            bytes: line.len(),
            last: Revision::ZERO,
        };
        if number > 0 {
            let body = line.strip_suffix(b"\n");
            let body = body.ok_or(CodecError::Header("the line has no end"));
            let read = body.and_then(|line| body_of(GROUP, line));
            match read {
                Ok(body) => {
                    last = each(last, body, place).map_err(|error| {
                        error::codec(&path, format!("read line {}", number + 1), error)
                    })?;
                }
                Err(_) if is_last && is_unwritten(&content[offset..]) => break,
                Err(_) if is_last && is_torn(&content[offset..], offset as u64) => {
                    tracing::info!(path = %path.display(), offset, "an unfinished append is left out");
                    break;
                }
                Err(error) => {
                    return Err(error::codec(
                        &path,
                        format!("read line {}", number + 1),
                        error,
                    ));
                }
            }
        }
        offset += line.len();
    }
    Ok((last, offset as u64))
}

/// The lines of a file with their ends.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    let ends = memchr::memchr_iter(b'\n', content).map(|end| end + 1);
    let has_rest = content.last().is_some_and(|byte| *byte != b'\n');
    ends.chain(has_rest.then_some(content.len()))
        .map(move |end| {
            let line = &content[begin..end];
            begin = end;
            line
        })
}

impl Place {
    /// The same place of a group that ends at a revision.
    pub(crate) fn ending(self, last: Revision) -> Self {
        Self { last, ..self }
    }
}

fn first_line(path: &Path, first: Revision, content: &[u8]) -> Result<Header> {
    let line = content.split(|byte| *byte == b'\n').next();
    let header: Header = crate::line::read_line(HEADER, line.unwrap_or_default())
        .map_err(|error| error::codec(path, "read the header", error))?;
    if header == Header::new(header.after) && header.after.revision.next() == first {
        Ok(header)
    } else {
        let detail = format!("expected a segment from revision {first}, found {header:?}");
        Err(error::damaged(path, detail))
    }
}
