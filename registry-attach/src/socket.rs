//! The socket beside a store: where it is, who may come.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use async_io::Async;
use registry_core::Hash;
use rustix::process::geteuid;

/// A connection between an opener and an owner.
pub(crate) type Stream = Async<UnixStream>;

/// Longest path of a socket, in bytes: the shortest of the systems' limits (macOS) less its end.
const SOCKET_PATH_BYTES_MAX: usize = 103;
/// Appended to the name until the socket is private.
const UNFINISHED: &str = "~";

/// The socket of a store that is owned here.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: Async<UnixListener>,
    path: PathBuf,
}

impl Listener {
    /// Makes the socket. Only who holds the lock of the store may: what an earlier owner left is replaced.
    pub(crate) fn bind(store: &Path) -> io::Result<Self> {
        let path = place(store)?;
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        remove_socket(&unfinished)?;
        check_replaceable(&path)?;
        let listener = UnixListener::bind(&unfinished)?;
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
        fs::rename(&unfinished, &path)?;
        Ok(Self {
            listener: Async::new(listener)?,
            path,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection of the same user, or of root.
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        let (stream, _) = self.listener.accept().await?;
        check_peer(&stream)?;
        Ok(stream)
    }

    /// Removes the socket. Only while the lock of the store is held: it may be another owner's afterwards.
    pub(crate) fn remove(&self) {
        if let Err(error) = remove_socket(&self.path) {
            tracing::warn!(socket = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

/// Connects to an owner, which must be of the same user, or root.
pub(crate) async fn connect(path: &Path) -> io::Result<Stream> {
    let stream = Async::<UnixStream>::connect(path).await?;
    check_peer(&stream)?;
    Ok(stream)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn check_peer(stream: &Stream) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?.uid;
    if peer == geteuid() || peer.is_root() {
        return Ok(());
    }
    let problem = format!(
        "expected a process of user {}, found user {}",
        geteuid().as_raw(),
        peer.as_raw()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

/// The mode of the socket is what keeps others away.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn check_peer(_: &Stream) -> io::Result<()> {
    Ok(())
}

/// `<path>.sock`, or a name in the runtime folder where that is longer than the path of a socket may be.
fn place(store: &Path) -> io::Result<PathBuf> {
    let store = std::path::absolute(store)?;
    let mut sibling = store.clone().into_os_string();
    sibling.push(".sock");
    let sibling = PathBuf::from(sibling);
    if fits(&sibling) {
        return Ok(sibling);
    }
    let hash = Hash::of("harness.socket.1", store.as_os_str().as_bytes()).to_string();
    let name = format!("harness-{}.sock", &hash[..16]);
    let mut candidates = runtime_folders()
        .into_iter()
        .map(|folder| folder.join(&name));
    let place = candidates.find(|path| fits(path) && path.parent().is_some_and(Path::is_dir));
    place.ok_or_else(|| {
        let problem = "the path is too long for a socket, and so is every runtime folder";
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    })
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() + UNFINISHED.len() <= SOCKET_PATH_BYTES_MAX
}

fn runtime_folders() -> [PathBuf; 4] {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    [
        own.filter(|folder| folder.is_absolute())
            .unwrap_or_default(),
        PathBuf::from(format!("/run/user/{}", geteuid().as_raw())),
        std::env::temp_dir(),
        PathBuf::from("/tmp"),
    ]
}

fn check_replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let problem = format!(
                "expected a socket or nothing at {}, found something else",
                path.display()
            );
            Err(io::Error::new(io::ErrorKind::AlreadyExists, problem))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_socket(path: &Path) -> io::Result<()> {
    check_replaceable(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_lies_beside_its_store() {
        assert_eq!(
            place(Path::new("/a/b.redb")).unwrap(),
            Path::new("/a/b.redb.sock")
        );
    }

    #[test]
    fn a_long_path_has_its_socket_elsewhere() {
        let folder = format!("/{}", "long/".repeat(30));
        let [one, other] =
            ["a.redb", "b.redb"].map(|name| place(&Path::new(&folder).join(name)).unwrap());
        assert!(fits(&one) && fits(&other));
        assert_ne!(one, other);
    }

    #[test]
    fn a_file_in_the_place_of_the_socket_is_kept() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let store = folder.path().join("a");
        let file = folder.path().join("a.sock");
        fs::write(&file, "a letter").unwrap();
        assert!(Listener::bind(&store).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"a letter");
    }

    #[test]
    fn a_socket_is_private_and_replaces_an_old_one() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let store = folder.path().join("a");
        drop(Listener::bind(&store).unwrap());
        let listener = Listener::bind(&store).unwrap();
        let mode = fs::metadata(listener.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        listener.remove();
        assert!(!listener.path().exists());
    }
}
