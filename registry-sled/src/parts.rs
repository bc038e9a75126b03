//! Long values, in parts.
//!
//! sled writes whole pages of up to 16 rows, and keeps one above a quarter of a segment in a file of its own, a blob, whose
//! name is no part of the transaction that wrote it. Short rows make neither large pages nor blobs.

use std::borrow::Cow;

use registry_core::Result;
use sled::IVec;
use sled::transaction::{TransactionalTree, UnabortableTransactionError};

use crate::trees::Trees;

/// Longest row. A page of them has 64 KiB.
pub(crate) const PART_BYTES: usize = 4096;

/// Begins a row whose value is in parts; every stored value of ours begins in another way. Their number follows.
const MAGIC: [u8; 2] = *b"HP";

/// Which tree a value belongs to.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Of {
    Services = b's',
    Log = b'l',
    Notes = b'n',
}

impl Of {
    /// Where the part of that number is. Two keys never share a place: what follows them is as long in each.
    fn place(self, key: &[u8], number: u32) -> Vec<u8> {
        [&[self as u8], key, &number.to_be_bytes()].concat()
    }
}

/// Number of the parts that a row stands for; 0 where the row is the value.
fn parts_of(row: &[u8]) -> u32 {
    match row.split_first_chunk() {
        Some((&MAGIC, count)) => count.try_into().map_or(0, u32::from_be_bytes),
        _ => 0,
    }
}

/// A value as its row and its parts.
fn cut(value: &[u8]) -> (Cow<'_, [u8]>, std::slice::Chunks<'_, u8>) {
    if value.len() <= PART_BYTES {
        return (Cow::Borrowed(value), [].chunks(PART_BYTES));
    }
    let parts = value.chunks(PART_BYTES);
    let count = u32::try_from(parts.len()).expect("no value is longer than its limit");
    let row = [&MAGIC[..], &count.to_be_bytes()].concat();
    (Cow::Owned(row), parts)
}

/// Writes a value, or removes it, with all its parts.
pub(crate) fn put(
    (tree, parts): (&TransactionalTree, &TransactionalTree),
    of: Of,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), UnabortableTransactionError> {
    let mut written = 0;
    let before = match value.map(cut) {
        None => tree.remove(key)?,
        Some((row, chunks)) => {
            for chunk in chunks {
                parts.insert(of.place(key, written), chunk)?;
                written += 1;
            }
            tree.insert(key, &*row)?
        }
    };
    for number in written..before.map_or(0, |before| parts_of(&before)) {
        parts.remove(of.place(key, number))?;
    }
    Ok(())
}

impl Trees {
    /// The value that a row stands for. A short one costs nothing, a long one a read for each part.
    ///
    /// # Errors
    /// `Corrupted` where a part is missing.
    pub(crate) fn whole<'r>(&self, of: Of, key: &[u8], row: &'r IVec) -> Result<Cow<'r, [u8]>> {
        let count = parts_of(row);
        if count == 0 {
            return Ok(Cow::Borrowed(row));
        }
        let mut value = Vec::new();
        for number in 0..count {
            let part = self.parts.get(of.place(key, number));
            let part = part.map_err(|error| self.unread(error))?;
            let part = part.ok_or_else(|| {
                let key = key.escape_ascii();
                self.damaged(format!("{of:?} {key}: part {number} of {count} is missing"))
            })?;
            value.extend_from_slice(&part);
        }
        Ok(Cow::Owned(value))
    }

    /// Whether the part at a place belongs to a value that is there.
    pub(crate) fn is_in_use(&self, place: &[u8]) -> Result<bool> {
        let Some((key, number)) = place.split_last_chunk() else {
            return Ok(false);
        };
        let (tree, key) = match key.split_first() {
            Some((&of, key)) if of == Of::Services as u8 => (&self.services, key),
            Some((&of, key)) if of == Of::Log as u8 => (&self.log, key),
            Some((&of, key)) if of == Of::Notes as u8 => (&self.notes, key),
            _ => return Ok(false),
        };
        let row = tree.get(key).map_err(|error| self.unread(error))?;
        let count = row.map_or(0, |row| parts_of(&row));
        Ok(u32::from_be_bytes(*number) < count)
    }
}
