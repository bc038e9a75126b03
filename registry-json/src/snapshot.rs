//! Snapshots: the whole state as JSON lines.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use imbl::OrdMap;
use registry_core::durable::{rename_durably, temporary_path};
use registry_core::portable::PortableRecord;
use registry_core::{Head, Key, Result, Revision, StoreError, Tally, Versioned, private_options};
use serde::{Deserialize, Serialize};

use crate::error;
use crate::line::{read_line, split, write_line};
use crate::schema::{LAYOUT, SNAPSHOT_FORMAT, snapshot_path};
use crate::store::BACKEND;

const HEADER: &str = "header";
const RECORD: &str = "record";
const FOOTER: &str = "footer";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: String,
    layout: u32,
    revision: Revision,
}

impl Header {
    fn new(revision: Revision) -> Self {
        Self {
            format: SNAPSHOT_FORMAT.to_owned(),
            layout: LAYOUT,
            revision,
        }
    }
}

/// The state as of a head.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) head: Head,
    pub(crate) records: OrdMap<Key, Versioned>,
}

/// Writes a snapshot durably, and answers its size in bytes.
pub(crate) fn write(folder: &Path, state: &State) -> Result<u64> {
    let path = snapshot_path(folder, state.head.revision());
    let temporary = temporary_path(&path);
    let refused = |error| StoreError::io(BACKEND, "write a snapshot", &temporary, error);
    let file = private_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .map_err(refused)?;
    let mut bytes = 0;
    let mut writer = BufWriter::new(file);
    let mut put = |line: &[u8]| {
        bytes += line.len() as u64;
        writer.write_all(line).map_err(refused)
    };
    put(&write_line(HEADER, &Header::new(state.head.revision())))?;
    for record in state.records.values() {
        put(&write_line(RECORD, &PortableRecord::from(record)))?;
    }
    put(&write_line(FOOTER, &state.head))?;
    let file = writer
        .into_inner()
        .map_err(|error| refused(error.into_error()))?;
    file.sync_all().map_err(refused)?;
    rename_durably(BACKEND, &temporary, &path)?;
    Ok(bytes)
}

/// Reads a snapshot, whole or not at all.
pub(crate) fn read(folder: &Path, revision: Revision) -> Result<(State, u64)> {
    let path = snapshot_path(folder, revision);
    let damaged = |detail: String| error::damaged(&path, detail);
    let mut lines = Lines::open(&path)?;
    let header: Header = lines.next(HEADER)?;
    if header != Header::new(revision) {
        return Err(damaged(format!(
            "expected revision {revision}, found {header:?}"
        )));
    }
    let mut state = State::default();
    let mut tally = Tally::default();
    while let Some(record) = lines.next_record()? {
        tally.add(&record);
        state.records.insert(record.key().clone(), record);
    }
    state.head = lines.next(FOOTER)?;
    tally.compare(&state.head.tally).map_err(damaged)?;
    if state.head.revision() != revision || !lines.is_at_end()? {
        return Err(damaged(
            "expected the footer of this revision as the last line".to_owned(),
        ));
    }
    Ok((state, lines.offset))
}

/// Reads what can be read of a snapshot, and calls back for what cannot.
pub(crate) fn salvage(
    path: &Path,
    mut lost: impl FnMut(usize, &StoreError),
) -> Result<Vec<Versioned>> {
    let content = std::fs::read(path).map_err(error::missing(path))?;
    let mut records = Vec::new();
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        match split(line) {
            Ok((tag, _)) if tag == RECORD.as_bytes() => match read_record(path, number, line) {
                Ok(record) => records.push(record),
                Err(error) => lost(number + 1, &error),
            },
            Ok(_) => {}
            Err(_) if line.is_empty() => {}
            Err(error) => lost(number + 1, &error::codec(path, "read the line", error)),
        }
    }
    Ok(records)
}

fn read_record(path: &Path, number: usize, line: &[u8]) -> Result<Versioned> {
    let record = read_line::<PortableRecord>(RECORD, line).and_then(Versioned::try_from);
    record.map_err(|error| error::codec(path, format!("read line {}", number + 1), error))
}

/// The lines of a snapshot, one at a time.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<std::fs::File>,
    line: Vec<u8>,
    number: usize,
    offset: u64,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(error::missing(path))?;
        let mut lines = Self {
            path,
            reader: BufReader::new(file),
            line: Vec::new(),
            number: 0,
            offset: 0,
        };
        lines.advance()?;
        Ok(lines)
    }

    fn advance(&mut self) -> Result<()> {
        self.line.clear();
        self.number += 1;
        let read = self.reader.read_until(b'\n', &mut self.line);
        let read = read.map_err(error::io("read the file", self.path))?;
        self.offset += read as u64;
        match self.line.pop() {
            Some(b'\n') | None => Ok(()),
            Some(_) => {
                let detail = format!("line {} has no end", self.number);
                Err(error::damaged(self.path, detail))
            }
        }
    }

    fn next<T: serde::de::DeserializeOwned>(&mut self, tag: &str) -> Result<T> {
        let value = read_line(tag, &self.line).map_err(|error| {
            let detail = format!("read the {tag} in line {}", self.number);
            error::codec(self.path, detail, error)
        })?;
        self.advance()?;
        Ok(value)
    }

    fn next_record(&mut self) -> Result<Option<Versioned>> {
        match split(&self.line) {
            Ok((tag, _)) if tag == RECORD.as_bytes() => {}
            _ => return Ok(None),
        }
        let record = read_record(self.path, self.number - 1, &self.line)?;
        self.advance()?;
        Ok(Some(record))
    }

    fn is_at_end(&mut self) -> Result<bool> {
        let rest = self.reader.fill_buf();
        let rest = rest.map_err(error::io("read the file", self.path))?;
        Ok(self.line.is_empty() && rest.is_empty())
    }
}
