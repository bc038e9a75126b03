//! The file under redb: zeros ahead of the pages that are written for the first time, and what is done about a failed
//! sync.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use registry_core::{Result as StoreResult, Runway, StoreError, failed_sync};

use crate::store::BACKEND;

/// redb's own access to a file, whose pages are written over zeros: a sync that gives the file new blocks writes its
/// metadata, too.
///
/// A commit that is synced once has its pages and the header that names them in one sync. Where that fails the next open
/// finds both in the system's cache, although the disk may never get the pages: so it is noted, and they are written again.
#[derive(Debug)]
pub(crate) struct StoreFile {
    file: FileBackend,
    /// Where a failure is noted; none for a file that is thrown away then.
    note: Option<PathBuf>,
    ends: Mutex<Ends>,
}

#[derive(Debug)]
struct Ends {
    /// Size of the file, most of which can be a hole: redb doubles it.
    length: u64,
    runway: Runway,
}

impl StoreFile {
    /// The file at a path that exists.
    pub(crate) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let opened = File::options().read(true).write(true).open(path);
        let mut opened = Self::new(opened.map_err(redb::StorageError::from)?)?;
        opened.note = Some(note_path(path));
        Ok(opened)
    }

    /// A file that is open for reading and writing.
    pub(crate) fn new(file: File) -> Result<Self, DatabaseError> {
        let ends = Ends::of(&file).map_err(redb::StorageError::from)?;
        Ok(Self {
            file: FileBackend::new(file)?,
            note: None,
            ends: Mutex::new(ends),
        })
    }

    fn noted<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if let (Err(_), Some(note)) = (&done, &self.note) {
            failed_sync::note(note);
        }
        done
    }

    fn write_over_zeros(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut ends = self.ends();
        let Ends { length, runway } = &mut *ends;
        runway.extend(offset, offset + data.len() as u64, *length, |at, zeros| {
            self.file.write(at, zeros)
        })?;
        // Another write at the end has to wait for the zeros, and none for the data.
        drop(ends);
        self.file.write(offset, data)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        // Set before and after the writes so that it is right whatever becomes of them.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends {
    fn of(file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let runway = Runway::new(end_of_data(file, length)?);
        Ok(Self { length, runway })
    }
}

/// The note of a failed sync.
fn note_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unsynced");
    PathBuf::from(name)
}

/// Writes the file again where a sync of it failed. Only under the lock of the path.
pub(crate) fn rewrite_after_failed_sync(path: &Path) -> StoreResult<()> {
    failed_sync::write_again(BACKEND, &note_path(path), || {
        let end = File::open(path).and_then(|file| end_of_data(&file, file.metadata()?.len()));
        let end = end.map_err(|error| StoreError::io(BACKEND, "look for the end", path, error))?;
        Ok(vec![(path.to_path_buf(), end)])
    })
}

/// Where the last hole of a file begins; its length where it ends without one, or where the system does not tell.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn end_of_data(file: &File, length: u64) -> io::Result<u64> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    let mut end = 0;
    loop {
        match seek(file, SeekFrom::Data(end)) {
            Ok(data) => end = seek(file, SeekFrom::Hole(data))?,
            Err(Errno::NXIO) => return Ok(end),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(length),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn end_of_data(_file: &File, length: u64) -> io::Result<u64> {
    Ok(length)
}

impl StorageBackend for StoreFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut ends = self.ends();
        self.noted(self.file.set_len(len))?;
        ends.length = len;
        ends.runway.cut(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.noted(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.noted(self.write_over_zeros(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn pages_are_written_over_zeros_and_a_reopened_file_goes_on_behind_its_data() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        File::create(&path).unwrap();
        let file = StoreFile::open(&path).unwrap();
        file.set_len(8 * MIB).unwrap();
        file.write(0, &[1; 4096]).unwrap();
        let blocks = |path: &Path| path.metadata().unwrap().blocks();
        let ahead = blocks(&path);
        assert!(ahead > 4096 / 512);
        file.write(4096, &[2; 4096]).unwrap();
        assert_eq!(blocks(&path), ahead);
        drop(file);
        let file = StoreFile::open(&path).unwrap();
        file.write(8192, &[3; 4096]).unwrap();
        assert_eq!(blocks(&path), ahead);
        let mut found = [0; 3 * 4096];
        file.read(0, &mut found).unwrap();
        let expected = [[1; 4096], [2; 4096], [3; 4096]];
        assert_eq!(found[..], expected.concat());
    }

    #[test]
    fn failed_write_is_noted_and_the_file_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [1; 4096]).unwrap();
        // A handle that may not write stands for a disk that does not.
        let mut file = StoreFile::new(File::open(&path).unwrap()).unwrap();
        file.note = Some(note_path(&path));
        file.read(0, &mut [0; 16]).unwrap();
        assert!(!note_path(&path).exists());
        file.write(0, &[2; 16]).unwrap_err();
        assert!(note_path(&path).exists());
        rewrite_after_failed_sync(&path).unwrap();
        assert!(!note_path(&path).exists());
        assert_eq!(std::fs::read(&path).unwrap(), [1; 4096]);
    }

    #[test]
    fn data_behind_a_hole_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let sparse = File::create(&path).unwrap();
        sparse.set_len(MIB).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 4096], MIB / 2).unwrap();
        let file = StoreFile::open(&path).unwrap();
        file.write(0, &[1; 4096]).unwrap();
        file.write(MIB / 2 + 4096, &[8; 4096]).unwrap();
        let mut found = [0; 4096];
        file.read(MIB / 2, &mut found).unwrap();
        assert_eq!(found, [7; 4096]);
        assert_eq!(file.len().unwrap(), MIB);
    }
}
