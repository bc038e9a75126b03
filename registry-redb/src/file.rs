//! The file under redb, with zeros ahead of the pages that are written for the first time.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use registry_core::Runway;

/// redb's own access to a file, whose pages are written over zeros: a commit syncs twice, and each sync that gives the
/// file new blocks writes its metadata, too.
#[derive(Debug)]
pub(crate) struct StoreFile {
    file: FileBackend,
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
        Self::new(opened.map_err(redb::StorageError::from)?)
    }

    /// A file that is open for reading and writing.
    pub(crate) fn new(file: File) -> Result<Self, DatabaseError> {
        let ends = Ends::of(&file).map_err(redb::StorageError::from)?;
        Ok(Self {
            file: FileBackend::new(file)?,
            ends: Mutex::new(ends),
        })
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
        self.file.set_len(len)?;
        ends.length = len;
        ends.runway.cut(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut ends = self.ends();
        let Ends { length, runway } = &mut *ends;
        runway.extend(offset, offset + data.len() as u64, *length, |at, zeros| {
            self.file.write(at, zeros)
        })?;
        // Another write at the end has to wait for the zeros, and none for the data.
        drop(ends);
        self.file.write(offset, data)
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
