//! Checks redb's own pages before redb trusts them.
//!
//! Where the last commit has the allocator's state redb opens without reading a checksum. Damage in its list of free
//! pages then shows as a panic in the middle of a commit, and the unwinding aborts the process, or as live pages that
//! are written over. redb's integrity check finds it, and repairs in place: so it is given the file with its writes kept
//! in memory, and a file that it would repair is refused instead.
//!
//! After any other commit redb walks the file when it opens it, checks each page and makes its list of free pages anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Error, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Builder, Database, DatabaseError, RepairSession, StorageBackend};
use registry_core::{Result, StoreError, contain};

use crate::error;
use crate::schema::PAGES_CHECK_BYTES_MAX;
use crate::store::BACKEND;

/// Checks every page that the last commit reaches, in a file of at most [`PAGES_CHECK_BYTES_MAX`].
///
/// # Errors
/// `Corrupted` where redb would repair the file; those of opening it.
pub(crate) fn check_pages(path: &Path, cache_bytes: usize) -> Result<()> {
    let (file, bytes) = opened(path)?;
    if bytes > PAGES_CHECK_BYTES_MAX {
        return Ok(());
    }
    if bytes == 0 {
        // redb would make a new database of it.
        return Err(error::damaged(path, "the file is empty"));
    }
    contain(BACKEND, || {
        let (mut database, is_walked) = open_sandbox(path, file, bytes, cache_bytes)?;
        if is_walked {
            return Ok(());
        }
        let checked = database.check_integrity();
        let is_clean =
            checked.map_err(|error| error::engine(path, "check the pages of the file", error))?;
        if is_clean {
            return Ok(());
        }
        let detail = "a page does not fit its checksum, or the list of free pages is wrong";
        Err(error::damaged(path, detail))
    })
}

/// Opens a file so that nothing is written to it.
///
/// # Errors
/// Those of opening it.
pub(crate) fn open_unchanged(path: &Path, cache_bytes: usize) -> Result<Database> {
    let (file, bytes) = opened(path)?;
    open_sandbox(path, file, bytes, cache_bytes).map(|(database, _)| database)
}

/// A file to read, and its size.
fn opened(path: &Path) -> Result<(File, u64)> {
    let refused = |error| StoreError::io(BACKEND, "open the file", path, error);
    let file = File::open(path).map_err(refused)?;
    let bytes = file.metadata().map_err(refused)?.len();
    Ok((file, bytes))
}

fn open_sandbox(
    path: &Path,
    file: File,
    bytes: u64,
    cache_bytes: usize,
) -> Result<(Database, bool)> {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    open_noting_walks(builder, Sandbox::new(file, bytes), |_| {})
        .map_err(|error| error::engine(path, "open the file", error))
}

/// Opens a database, and answers whether redb walked the file and checked each page for that. `told` hears of it.
pub(crate) fn open_noting_walks(
    mut builder: Builder,
    backend: impl StorageBackend,
    told: impl Fn(&RepairSession) + 'static,
) -> Result<(Database, bool), DatabaseError> {
    let is_walked = Arc::new(AtomicBool::new(false));
    let walked = Arc::clone(&is_walked);
    builder.set_repair_callback(move |session| {
        walked.store(true, Ordering::Relaxed);
        told(session);
    });
    let database = builder.create_with_backend(backend)?;
    Ok((database, is_walked.load(Ordering::Relaxed)))
}

const PAGE_BYTES: usize = 4096;

/// A file that is read, with the pages that were written kept in memory.
#[derive(Debug)]
struct Sandbox(Mutex<Pages>);

#[derive(Debug)]
struct Pages {
    file: File,
    file_bytes: u64,
    bytes: u64,
    written: BTreeMap<u64, Vec<u8>>,
}

impl Sandbox {
    fn new(file: File, bytes: u64) -> Self {
        Self(Mutex::new(Pages {
            file,
            file_bytes: bytes,
            bytes,
            written: BTreeMap::new(),
        }))
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    /// Reads from the file; what is behind its end is zero.
    fn read_file(&mut self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let there = self.file_bytes.saturating_sub(offset);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
        let (there, behind) = out.split_at_mut(there);
        behind.fill(0);
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(there)
    }

    fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.read_file(offset, out)?;
        for (page, at, part) in parts(offset, out.len()) {
            if let Some(written) = self.written.get(&page) {
                out[part.clone()].copy_from_slice(&written[at..at + part.len()]);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Error> {
        for (page, at, part) in parts(offset, data.len()) {
            if !self.written.contains_key(&page) {
                let mut content = vec![0; PAGE_BYTES];
                self.read_file(page * PAGE_BYTES as u64, &mut content)?;
                self.written.insert(page, content);
            }
            if let Some(content) = self.written.get_mut(&page) {
                content[at..at + part.len()].copy_from_slice(&data[part]);
            }
        }
        Ok(())
    }
}

/// The pages of a span of bytes: number, offset in the page, and the part of the span.
fn parts(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == bytes {
            return None;
        }
        let place = offset + done as u64;
        let at = usize::try_from(place % PAGE_BYTES as u64).expect("a page is small");
        let count = (PAGE_BYTES - at).min(bytes - done);
        let part = done..done + count;
        done += count;
        Some((place / PAGE_BYTES as u64, at, part))
    })
}

impl StorageBackend for Sandbox {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.pages().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let mut pages = self.pages();
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > pages.bytes) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        pages.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.pages().bytes = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.pages().write(offset, data)
    }
}
