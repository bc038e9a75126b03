//! Rows of `notes`.

use registry_core::Note;
use rusqlite::{Connection, Row, params};

use super::Sum;
use crate::error::Fault;

/// Puts a note where no other or an older one is.
pub(crate) fn put_note(connection: &Connection, note: &Note) -> Result<(), Fault> {
    let sql = "REPLACE INTO notes (name, content, checksum) VALUES (?1, ?2, ?3)";
    let mut put = connection.prepare_cached(sql)?;
    put.execute(params![note.name, note.content, note_sum(note).finish()])?;
    Ok(())
}

/// Reads name, content and checksum of a note.
pub(crate) fn read_note(row: &Row<'_>) -> Result<Note, Fault> {
    let note = Note {
        name: row.get(0)?,
        content: row.get(1)?,
    };
    note_sum(&note).check(|| format!("note {:?}", note.name), row.get(2)?)?;
    Ok(note)
}

fn note_sum(note: &Note) -> Sum {
    Sum::new("notes")
        .bytes(note.name.as_bytes())
        .bytes(&note.content)
}
