//! The lock file beside a store, which says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{ErrorKind, Holder, StoreError};
use crate::store::Result;

/// The exclusive lock of a path, held until it is dropped.
///
/// The lock is the operating system's on `<path>.lock`, so it ends with the process, however that ends. The file is
/// never removed: a removed one could be locked by two.
#[derive(Debug)]
pub struct PathLock {
    file: File,
}

impl Drop for PathLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is being started at this moment has a copy of the handle
        // until it runs its program, and the lock would be held as long. One that cannot be released ends with both.
        drop(self.file.unlock());
    }
}

impl PathLock {
    /// Takes the lock of a store's path, at once or not at all.
    ///
    /// # Errors
    /// `Locked` with the holder; `NotFound` where the folder is missing; `Unavailable` where the system refuses.
    pub fn acquire(backend: &'static str, path: &Path) -> Result<Self> {
        let lock_path = lock_path(path);
        let refused = |detail: &str, error| StoreError::io(backend, detail, &lock_path, error);
        let mut file = private_options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|error| refused("open the lock file", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                return Err(
                    StoreError::new(ErrorKind::Locked(holder), backend, "lock the store")
                        .at_path(path),
                );
            }
            Err(TryLockError::Error(error)) => return Err(refused("lock the store", error)),
        }
        write_holder(&mut file).map_err(|error| refused("write the lock file", error))?;
        Ok(Self { file })
    }

    /// Checks that nobody holds the path, and keeps it so while the answer lives. Creates nothing: none where there is
    /// no lock file, and so no holder.
    ///
    /// # Errors
    /// `Locked` with the holder; `Unavailable` where the system refuses.
    pub fn share(backend: &'static str, path: &Path) -> Result<Option<Self>> {
        let lock_path = lock_path(path);
        let mut file = match File::open(&lock_path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(StoreError::io(
                    backend,
                    "open the lock file",
                    &lock_path,
                    error,
                ));
            }
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                Err(
                    StoreError::new(ErrorKind::Locked(holder), backend, "read the store")
                        .at_path(path),
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(StoreError::io(backend, "lock the store", &lock_path, error))
            }
        }
    }
}

/// `<path>.lock`.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Options that create a file which only its owner may read.
pub fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(
        file,
        "pid {}\nversion {}",
        std::process::id(),
        env!("CARGO_PKG_VERSION")
    )
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    // The holder may be writing it at this moment; what can be read is what is told.
    let _ = file.take(1024).read_to_string(&mut text);
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Holder {
        pid: field("pid ").and_then(|pid| pid.parse().ok()),
        version: field("version ").map(str::to_owned),
    }
}
