//! Notes: kept in memory, appended to their file without a sync, written anew at close.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use registry_core::commit::check_note;
use registry_core::{Note, Result, StoreError, private_options};
use serde::{Deserialize, Serialize};

use crate::error;
use crate::line::{read_line, replace_file, write_line};
use crate::schema::{NOTES_WASTE_BYTES_MAX, notes_path};
use crate::store::BACKEND;

const TAG: &str = "note";

#[derive(Serialize, Deserialize)]
struct NoteLine {
    name: String,
    /// Hexadecimal digits; none where the note was deleted.
    content: String,
}

/// The notes of a store.
#[derive(Debug)]
pub(crate) struct Notes {
    path: PathBuf,
    by_name: BTreeMap<String, Vec<u8>>,
    /// What is wrong with the file. It is not written anew then.
    damage: Option<String>,
    file: Option<File>,
    written: u64,
}

impl Notes {
    /// Reads the file where there is one. Notes may be lost, so what was not written whole is left out.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = notes_path(folder);
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StoreError::io(BACKEND, "read the notes", &path, error)),
        };
        let mut notes = Self {
            path,
            by_name: BTreeMap::new(),
            damage: None,
            file: None,
            written: content.len() as u64,
        };
        for (number, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
            match line
                .strip_suffix(b"\n")
                .map(|line| read_line::<NoteLine>(TAG, line))
            {
                Some(Ok(line)) => notes.take(line, number),
                // A note was never promised to be durable.
                None => {}
                Some(Err(_)) if line.contains(&0) => {}
                Some(Err(error)) => notes.damage = Some(format!("line {}: {error}", number + 1)),
            }
        }
        Ok(notes)
    }

    fn take(&mut self, line: NoteLine, number: usize) {
        match from_hex(&line.content) {
            Some(content) if content.is_empty() => {
                self.by_name.remove(&line.name);
            }
            Some(content) => {
                self.by_name.insert(line.name, content);
            }
            None => self.damage = Some(format!("line {}: no hexadecimal digits", number + 1)),
        }
    }

    /// Every note.
    ///
    /// # Errors
    /// `Corrupted` where the file is damaged.
    pub(crate) fn all(&self) -> Result<Vec<Note>> {
        if let Some(damage) = &self.damage {
            return Err(error::damaged(&self.path, damage.clone()));
        }
        let notes = self.by_name.iter().map(|(name, content)| Note {
            name: name.clone(),
            content: content.clone(),
        });
        Ok(notes.collect())
    }

    /// Keeps a note.
    pub(crate) fn put(&mut self, note: Note) -> Result<()> {
        let is_new = !self.by_name.contains_key(&note.name);
        check_note(BACKEND, &note, self.by_name.len() + usize::from(is_new))?;
        let line = write_line(TAG, &line_of(&note.name, &note.content));
        self.append(&line)?;
        if note.content.is_empty() {
            self.by_name.remove(&note.name);
        } else {
            self.by_name.insert(note.name, note.content);
        }
        let needed: usize = self.by_name.values().map(Vec::len).sum();
        if self.written > 2 * needed as u64 + NOTES_WASTE_BYTES_MAX {
            self.rewrite()?;
        }
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> Result<()> {
        let refused = |error| StoreError::io(BACKEND, "write a note", &self.path, error);
        if self.file.is_none() {
            // A line that was torn off ends here, so that the next one is a line of its own.
            let is_ended = std::fs::read(&self.path).map_or(true, |content| {
                content.last().is_none_or(|last| *last == b'\n')
            });
            let mut file = private_options()
                .append(true)
                .create(true)
                .open(&self.path)
                .map_err(refused)?;
            if !is_ended {
                file.write_all(b"\0\n").map_err(refused)?;
            }
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            file.write_all(line).map_err(refused)?;
        }
        self.written += line.len() as u64;
        Ok(())
    }

    /// Writes the file anew, durably. Leaves a damaged one for whoever looks into it.
    pub(crate) fn rewrite(&mut self) -> Result<()> {
        if self.damage.is_some() || (self.file.is_none() && !self.path.exists()) {
            return Ok(());
        }
        let lines = self.by_name.iter();
        let content = lines.flat_map(|(name, content)| write_line(TAG, &line_of(name, content)));
        let content: Vec<u8> = content.collect();
        self.file = None;
        self.written = content.len() as u64;
        replace_file(&self.path, &content)
    }
}

fn line_of(name: &str, content: &[u8]) -> NoteLine {
    NoteLine {
        name: name.to_owned(),
        content: to_hex(content),
    }
}

fn to_hex(content: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).expect("a half byte is below 16");
    let halves = content.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    halves.map(digit).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|start| u8::from_str_radix(&text[start..start + 2], 16).ok())
        .collect()
}
