//! The remedies for what sled 0.34.7 does to its files.
//!
//! 1. `flush` calls `sync_file_range`, which syncs neither size nor names nor the drive's cache (sled issue 1351): we
//!    sync the file `db` on a handle of our own. `parts` sees to it that there are no blobs, which sled never syncs.
//! 2. A leftover `snap.*.generating` is read as the newest snapshot, and then nothing opens (issues 1527, 1533): it is
//!    removed before sled opens.
//! 3. `conf` is written in two writes: a torn one is refused although sled can write it anew. One whose checksum is
//!    wrong is removed.
//! 4. It goes on behind whatever it can read of its log: what a failed sync left in the system's cache alone is written
//!    again before it opens.
//! 5. A segment whose head is damaged is passed over in silence, where the store was not closed, and what is written to
//!    it later is not found again. The heads are checked before sled opens.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use registry_core::durable::{rename_durably, sync_folder, sync_parent, temporary_path};
use registry_core::{Result, StoreError, failed_sync, private_options};

use crate::error;
use crate::store::BACKEND;

/// In the folder since a sync failed.
const UNSYNCED: &str = "unsynced";
/// Pinned: sled refuses to open a store with another one. Many times what is ever unsynced, see `span`.
pub(crate) const SEGMENT_BYTES: u32 = 8 * 1024 * 1024;
/// The head of a segment: a checksum, and what it covers.
const SEGMENT_HEAD_BYTES: usize = 20;

/// A settings file of so many bytes or fewer is written anew by sled itself.
const CONF_BYTES_MIN: usize = 8;

/// Notes that a sync failed, for who opens the store next.
pub(crate) fn distrust(folder: &Path) {
    failed_sync::note(&folder.join(UNSYNCED));
}

/// Every file of a store but the note of a failed sync.
fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let files = list(folder)?.into_iter();
    let files = files.filter(|(path, name)| path.is_file() && name != UNSYNCED);
    Ok(files.map(|(path, _)| (path, u64::MAX)).collect())
}

/// Removes what sled stumbles over, and makes durable what it will read. Only under the lock of the path.
pub(crate) fn clear_leftovers(folder: &Path) -> Result<()> {
    failed_sync::write_again(BACKEND, &folder.join(UNSYNCED), || files(folder))?;
    for (path, name) in list(folder)? {
        if name.starts_with("snap.") && name.ends_with(".generating") {
            remove(&path)?;
        }
    }
    let conf = folder.join("conf");
    let content = match std::fs::read(&conf) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io(BACKEND, "read the settings", &conf, error)),
    };
    if content.len() > CONF_BYTES_MIN && !is_whole(&content) {
        tracing::warn!(path = %conf.display(), "sled's settings are torn and are written anew");
        remove(&conf)?;
    }
    Ok(())
}

fn is_whole(conf: &[u8]) -> bool {
    let Some((body, crc)) = conf.split_last_chunk::<4>() else {
        return false;
    };
    // sled writes the checksum in the machine's order; every one it runs on here is little endian.
    crc32fast::hash(body) == u32::from_le_bytes(*crc)
}

/// Checks the head of each segment of sled's file; nothing where there is no file. Reads a few bytes of each 8 MiB.
///
/// A power cut leaves the old head, the new one or none, all zero: a head lies within one sector.
///
/// # Errors
/// `Corrupted` with the place of a damaged head.
pub(crate) fn check_segments(folder: &Path) -> Result<()> {
    let path = folder.join("db");
    let refused = |error| StoreError::io(BACKEND, "read the heads of segments", &path, error);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
    };
    let bytes = file.metadata().map_err(refused)?.len();
    let whole = bytes.saturating_sub(SEGMENT_HEAD_BYTES as u64 - 1);
    for at in (0..whole).step_by(SEGMENT_BYTES as usize) {
        let mut head = [0; SEGMENT_HEAD_BYTES];
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut head))
            .map_err(refused)?;
        check_head(&head).map_err(|problem| {
            let detail = format!("the head of the segment at byte {at}: {problem}");
            error::damaged(&path, detail)
        })?;
    }
    Ok(())
}

/// A head holds its checksum, or is all zero where nothing was written yet.
fn check_head(head: &[u8; SEGMENT_HEAD_BYTES]) -> Result<(), String> {
    let (crc, covered) = head.split_first_chunk::<4>().expect("a head is longer");
    let (expected, found) = (!crc32fast::hash(covered), u32::from_le_bytes(*crc));
    let is_unused = head.iter().all(|byte| *byte == 0);
    if is_unused || found == expected {
        return Ok(());
    }
    Err(format!(
        "expected checksum {expected:08x}, found {found:08x}"
    ))
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|error| StoreError::io(BACKEND, "remove", path, error))
}

/// The files of a folder with their names; none where there is no folder.
fn list(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let refused = |error| StoreError::io(BACKEND, "list the folder", folder, error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(refused(error)),
    };
    let files = entries.map(|entry| {
        let entry = entry.map_err(refused)?;
        let name: OsString = entry.file_name();
        Ok((entry.path(), name.to_string_lossy().into_owned()))
    });
    files.collect()
}

/// Our own handle on sled's file, and what of its folder is private and durable already.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    db: File,
    known: BTreeSet<PathBuf>,
}

impl Disk {
    /// Syncs what sled made while it opened.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("db");
        let refused = |error| StoreError::io(BACKEND, "open sled's file", &path, error);
        let db = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(refused)?;
        let mut disk = Self {
            folder: folder.to_path_buf(),
            db,
            known: BTreeSet::new(),
        };
        sync_file(&folder.join("conf"))?;
        disk.db.sync_all().map_err(refused)?;
        disk.settle()?;
        sync_folder(BACKEND, folder)?;
        sync_parent(BACKEND, folder)?;
        Ok(disk)
    }

    /// Makes durable what sled flushed.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.settle()?;
        self.db
            .sync_data()
            .map_err(|error| StoreError::io(BACKEND, "sync", &self.folder.join("db"), error))
    }

    /// Makes new files private.
    fn settle(&mut self) -> Result<()> {
        let mut found = BTreeSet::new();
        for (path, name) in list(&self.folder)? {
            if !self.known.contains(&path) {
                // sled may remove a file of its own at any time.
                unless_gone(make_private(&path), "make private", &path)?;
            }
            // sled writes a snapshot under another name first, and that one may come again.
            if !name.ends_with(".generating") {
                found.insert(path);
            }
        }
        self.known = found;
        Ok(())
    }
}

fn unless_gone(done: io::Result<()>, detail: &str, path: &Path) -> Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io(BACKEND, detail, path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_file(path: &Path) -> Result<()> {
    sync(path).map_err(|error| StoreError::io(BACKEND, "sync", path, error))
}

/// Makes a folder that only its owner may enter.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.create(path);
    made.map_err(|error| StoreError::io(BACKEND, "create the folder", path, error))
}

/// Copies a store into an empty folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    create_folder(to)?;
    for (path, name) in list(from)? {
        let target = to.join(name);
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)
                .map_err(|error| StoreError::io(BACKEND, "copy to read it", &path, error))?;
        }
    }
    Ok(())
}

/// Reads a file of ours that must be there.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => error::damaged(path, "a file of the store is missing"),
        _ => StoreError::io(BACKEND, "read the file", path, error),
    })
}

/// Writes a file of ours under another name, and gives it its name when it is durable.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = temporary_path(path);
    let refused = |error| StoreError::io(BACKEND, "write the file", &temporary, error);
    let mut file = private_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .map_err(refused)?;
    file.write_all(content).map_err(refused)?;
    file.sync_all().map_err(refused)?;
    rename_durably(BACKEND, &temporary, path)
}
