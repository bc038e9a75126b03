//! Finding, making and opening the file.
//!
//! Invariant: the file is only ever touched through SQLite once it has its name. Closing any other handle on it would
//! drop the locks that SQLite holds in this process.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_core::durable::{rename_durably, sync_parent, temporary_path};
use registry_core::{ErrorKind, OpenMode, PathLock, Result, StoreError, private_options};
use rusqlite::{Connection, OpenFlags};

use crate::BACKEND;
use crate::error::Fault;
use crate::schema;

/// How long to wait for another process that makes the store.
const CREATION_TIME_MAX: Duration = Duration::from_secs(10);
const CREATION_POLL: Duration = Duration::from_millis(5);
/// The write version and the read version of a file in WAL mode, at offset 18 of its header.
const WAL_VERSIONS: [u8; 2] = [2, 2];

/// Makes the file if the mode says so, and checks what can be told from its name.
pub(crate) fn prepare(path: &Path, mode: OpenMode) -> Result<()> {
    let exists = exists(path)?;
    match mode {
        OpenMode::Create if exists => Err(StoreError::new(
            ErrorKind::Invalid,
            BACKEND,
            "expected nothing at the path, found a file",
        )
        .at_path(path)),
        OpenMode::OpenOrCreate | OpenMode::Create if !exists => create(path, mode),
        _ if !exists => Err(StoreError::new(
            ErrorKind::NotFound,
            BACKEND,
            "expected a store, found nothing",
        )
        .at_path(path)),
        _ => Ok(()),
    }
}

/// Whether there is a file. SQLite takes an empty one for a new database, so that must be told here.
fn exists(path: &Path) -> Result<bool> {
    let damaged = |kind, detail: &str| Err(StoreError::new(kind, BACKEND, detail).at_path(path));
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            damaged(ErrorKind::Invalid, "expected a file, found a folder")
        }
        Ok(metadata) if metadata.len() == 0 => damaged(
            ErrorKind::Corrupted,
            "expected a store, found an empty file",
        ),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(BACKEND, "look at the path", path, error)),
    }
}

/// Makes the file under a temporary name and renames it, alone among the processes that may try.
fn create(path: &Path, mode: OpenMode) -> Result<()> {
    let Some(_lock) = creation_lock(path)? else {
        // Another process made it meanwhile.
        return prepare(path, mode);
    };
    if exists(path)? {
        return prepare(path, mode);
    }
    // SQLite would play a journal that is left over into the new file.
    let journal = beside(path, "-wal");
    if journal.exists() {
        let detail = "expected no journal without a store; move it away or bring its store back";
        return Err(StoreError::new(ErrorKind::Corrupted, BACKEND, detail).at_path(&journal));
    }
    let temporary = temporary_path(path);
    remove_leftovers(&temporary)?;
    build(&temporary).map_err(|fault| fault.at(&temporary, "make the store"))?;
    sync(&temporary)?;
    rename_durably(BACKEND, &temporary, path)
}

/// The lock for making the store; none where the store appeared while waiting for it.
fn creation_lock(path: &Path) -> Result<Option<PathLock>> {
    let tries = CREATION_TIME_MAX.as_millis() / CREATION_POLL.as_millis();
    for _ in 0..tries {
        match PathLock::acquire(BACKEND, path) {
            Ok(lock) => return Ok(Some(lock)),
            Err(error) if !matches!(error.kind(), ErrorKind::Locked(_)) => return Err(error),
            Err(_) if exists(path)? => return Ok(None),
            Err(_) => std::thread::sleep(CREATION_POLL),
        }
    }
    PathLock::acquire(BACKEND, path).map(Some)
}

fn remove_leftovers(temporary: &Path) -> Result<()> {
    for name in ["", "-wal", "-shm", "-journal"] {
        let leftover = beside(temporary, name);
        match fs::remove_file(&leftover) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let detail = "remove what a broken creation left";
                return Err(StoreError::io(BACKEND, detail, &leftover, error));
            }
        }
    }
    Ok(())
}

fn build(temporary: &Path) -> std::result::Result<(), Fault> {
    // SQLite gives its journals the mode of the file.
    let file = private_options()
        .write(true)
        .create_new(true)
        .open(temporary);
    file.map_err(|error| StoreError::io(BACKEND, "make the file", temporary, error))?;
    let mut connection = Connection::open_with_flags(temporary, flags())?;
    schema::create(&mut connection)?;
    // The last connection moves the journal into the file and removes it.
    connection.close().map_err(|(_, error)| error)?;
    let journal = beside(temporary, "-wal");
    if journal.exists() {
        let problem = "the journal was not moved into the file";
        return Err(Fault::damaged(journal.display().to_string(), problem));
    }
    check_format(temporary)
}

/// Checks that the new file is in WAL mode: SQLite can answer that it is, and lose the change to an error of the disk.
fn check_format(temporary: &Path) -> std::result::Result<(), Fault> {
    let refused = |error| StoreError::io(BACKEND, "read the new file", temporary, error);
    let mut header = [0; 20];
    fs::File::open(temporary)
        .and_then(|mut file| file.read_exact(&mut header))
        .map_err(refused)?;
    if header[18..] == WAL_VERSIONS {
        return Ok(());
    }
    let detail = format!(
        "expected a file in WAL mode, found versions {:?}",
        &header[18..]
    );
    Err(Fault::new(ErrorKind::Unavailable, detail))
}

fn sync(temporary: &Path) -> Result<()> {
    fs::File::open(temporary)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::io(BACKEND, "sync the new file", temporary, error))
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Opens a connection.
pub(crate) fn connect(
    path: &Path,
    sync: schema::Sync,
    cache_bytes: usize,
) -> std::result::Result<Connection, Fault> {
    let connection = Connection::open_with_flags(path, flags())?;
    schema::configure(&connection, sync, cache_bytes)?;
    Ok(connection)
}

/// Makes durable what a process that was killed may have left: commits in the journal, names in the folder.
///
/// SQLite shows the commits that it finds in the journal, synced or not, and syncs the folder only for a journal that it
/// made itself.
pub(crate) fn settle(path: &Path, synced: &Connection) -> std::result::Result<(), Fault> {
    // A checkpoint begins with a sync of the journal. One that others keep from ending has done that, too.
    synced.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(sync_parent(BACKEND, path)?)
}

/// Opens a connection that changes nothing and expects that nobody else does.
pub(crate) fn connect_immutable(
    path: &Path,
    cache_bytes: usize,
) -> std::result::Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable_uri(path), flags)?;
    schema::configure(&connection, schema::Sync::Full, cache_bytes)?;
    Ok(connection)
}

fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write as _;

    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// The file beside the store with that ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_escaped_in_a_uri() {
        let uri = immutable_uri(Path::new("/a b/c?d#e%41/é.db"));
        assert_eq!(uri, "file:/a%20b/c%3Fd%23e%2541/%C3%A9.db?immutable=1");
    }
}
