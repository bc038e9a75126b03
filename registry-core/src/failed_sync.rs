//! What a failed sync leaves: pages that can be read, that the system takes for clean, and that no later sync writes.
//!
//! A store that goes on from what it reads would build on what a power cut takes away. So the failure is noted in a file
//! beside the store, and who opens it next writes everything again before anything is trusted.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::path_lock::private_options;
use crate::store::Result;

/// Bytes that are read and written again at a time.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Notes in the file `mark` that a write or a sync failed, for who opens the store next. The note need not be durable: a
/// restart of the system ends what it tells of.
pub fn note(mark: &Path) {
    let noted = private_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(mark);
    if let Err(error) = noted {
        tracing::warn!(path = %mark.display(), %error, "a failed sync could not be noted");
    }
}

/// Writes files again and syncs them, each up to an offset, where the file `mark` says that a sync failed. Only under the
/// lock of the store. One look at the folder where there is no such file.
///
/// # Errors
/// `Unavailable` where the system refuses; the note stays then.
pub fn write_again(
    backend: &'static str,
    mark: &Path,
    files: impl FnOnce() -> Result<Vec<(PathBuf, u64)>>,
) -> Result<()> {
    if !mark.exists() {
        return Ok(());
    }
    tracing::warn!(path = %mark.display(), "a sync of the store failed, and its files are written again");
    for (path, end) in files()? {
        write_file_again(&path, end)
            .map_err(|error| StoreError::io(backend, "write again", &path, error))?;
    }
    std::fs::remove_file(mark).map_err(|error| StoreError::io(backend, "remove", mark, error))
}

fn write_file_again(path: &Path, end: u64) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < end {
        let room = usize::try_from(end - offset).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let read = file.read(&mut chunk[..room])?;
        if read == 0 {
            break;
        }
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(&chunk[..read])?;
        offset += read as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_again_where_it_is_noted_and_the_note_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (mark, path) = (folder.path().join("mark"), folder.path().join("file"));
        let content: Vec<u8> = (0..=250).cycle().take(CHUNK_BYTES + 1000).collect();
        std::fs::write(&path, &content).unwrap();
        let written = |end: u64| write_again("test", &mark, || Ok(vec![(path.clone(), end)]));
        let changed = || std::fs::metadata(&path).unwrap().modified().unwrap();
        let before = std::time::SystemTime::UNIX_EPOCH;
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(before).unwrap();
        written(u64::MAX).unwrap();
        assert_eq!(changed(), before);
        for end in [1000, u64::MAX] {
            note(&mark);
            written(end).unwrap();
            assert!(!mark.exists() && changed() > before);
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn note_stays_where_a_file_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        note(&mark);
        let missing = folder.path().join("missing");
        write_again("test", &mark, || Ok(vec![(missing, 1)])).unwrap_err();
        assert!(mark.exists());
    }
}
