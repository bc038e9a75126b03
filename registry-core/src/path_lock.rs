//! The lock file beside a store, which says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{ErrorKind, Holder, StoreError};
use crate::store::Result;

/// Bytes of a lock file that are read; what is written is shorter than a path and two numbers.
const LOCK_FILE_BYTES_MAX: u64 = 8 * 1024;

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
        write_holder(&mut file, None).map_err(|error| refused("write the lock file", error))?;
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

    /// Who holds a path at this moment; none where nobody does. Takes and creates nothing.
    ///
    /// # Errors
    /// `Unavailable` where the system refuses.
    pub fn holder(backend: &'static str, path: &Path) -> Result<Option<Holder>> {
        match Self::share(backend, path) {
            Ok(_) => Ok(None),
            Err(error) => match error.kind() {
                ErrorKind::Locked(holder) => Ok(Some(holder.clone())),
                _ => Err(error),
            },
        }
    }

    /// Tells others where the holder of a path serves the store. Only the holder may call it.
    ///
    /// # Errors
    /// `Unavailable` where the system refuses.
    pub fn announce(backend: &'static str, path: &Path, socket: &Path) -> Result<()> {
        let lock_path = lock_path(path);
        let mut options = OpenOptions::new();
        let announced = options
            .write(true)
            .open(&lock_path)
            .and_then(|mut file| write_holder(&mut file, Some(socket)));
        announced.map_err(|error| StoreError::io(backend, "write the lock file", &lock_path, error))
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

fn write_holder(file: &mut File, socket: Option<&Path>) -> std::io::Result<()> {
    let mut text = format!(
        "pid {}\nversion {}\n",
        std::process::id(),
        env!("CARGO_PKG_VERSION")
    );
    // A path that is no text, or not in one line, cannot be told; others are answered `Locked` then.
    let socket = socket.and_then(Path::to_str);
    if let Some(socket) = socket.filter(|socket| !socket.contains('\n')) {
        text.push_str("socket ");
        text.push_str(socket);
        text.push('\n');
    }
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    // The holder may be writing it at this moment; what can be read is what is told.
    let _ = file.take(LOCK_FILE_BYTES_MAX).read_to_string(&mut text);
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let field = |name: &str| whole.lines().find_map(|line| line.strip_prefix(name));
    Holder {
        pid: field("pid ").and_then(|pid| pid.parse().ok()),
        version: field("version ").map(str::to_owned),
        socket: field("socket ").map(PathBuf::from),
    }
}
