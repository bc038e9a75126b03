//! Where the daemon listens: addresses of TCP, and sockets in the file system.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use registry_api::Peer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindAddress {
    /// `127.0.0.1:9402`
    Tcp(SocketAddr),
    /// `unix:/run/harness.sock`
    Unix(PathBuf),
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for BindAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected an address and a port such as 127.0.0.1:9402, or unix:PATH, found {text:?}"
            )
        };
        match text.strip_prefix("unix:") {
            Some("") => Err(expected()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .replace("localhost", "127.0.0.1")
                .parse()
                .map(Self::Tcp)
                .map_err(|_| expected()),
        }
    }
}

/// A listening socket. One in the file system is removed when this is dropped.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        file: SocketFile,
    },
}

/// The file of a socket, as it was made: another one under its name is somebody else's.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_own = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
        if is_own {
            // A file that stays is found to be stale by the next daemon.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl Listener {
    /// Listens. A socket file of mode 0600 is made; one that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// `AddrInUse` where somebody listens, `AlreadyExists` where the path is no socket, else the system's refusal.
    pub async fn bind(address: &BindAddress) -> io::Result<Self> {
        match address {
            BindAddress::Tcp(addr) => Ok(Self(Kind::Tcp(TcpListener::bind(addr).await?))),
            BindAddress::Unix(path) => bind_unix(path),
        }
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn local_address(&self) -> io::Result<BindAddress> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().map(BindAddress::Tcp),
            Kind::Unix { file, .. } => Ok(BindAddress::Unix(file.path.clone())),
        }
    }

    /// The next connection, with its other end as the kernel tells it.
    ///
    /// # Errors
    /// The system's refusal, such as too many open files: they become fewer again.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are small and wanted at once; a system that refuses is only slower.
                drop(stream.set_nodelay(true));
                Ok((Stream::Tcp(stream), peer.into()))
            }
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let process = stream.peer_cred()?;
                let peer = Peer::Unix {
                    pid: process.pid().and_then(|pid| pid.try_into().ok()),
                    uid: process.uid(),
                };
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    check_free(path)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Made in a folder that nobody else may enter and then moved, so that it never stands open to others.
    let folder = parent.join(format!(".harness-{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let made = folder.join("s");
    let bound = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    // Where it failed half-way the folder is not empty.
    drop(std::fs::remove_dir_all(&folder));
    let listener = bound?;
    let file = std::fs::symlink_metadata(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        device: file.dev(),
        inode: file.ino(),
    };
    Ok(Listener(Kind::Unix { listener, file }))
}

/// Checks that nothing stands at the path but, at most, a socket that nobody listens on.
fn check_free(path: &Path) -> io::Result<()> {
    let file = match std::fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        let message = "a file that is no socket stands there";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Stream {
    /// From a host.
    Tcp(TcpStream),
    /// From a process on this machine.
    Unix(UnixStream),
}

/// A connection on its way from the runtime that accepted it to the one that serves it.
#[derive(Debug)]
pub enum StdStream {
    /// From a host.
    Tcp(std::net::TcpStream),
    /// From a process on this machine.
    Unix(std::os::unix::net::UnixStream),
}

impl Stream {
    /// Takes it away from the runtime that it was accepted on.
    ///
    /// # Errors
    /// The system's.
    pub fn into_std(self) -> io::Result<StdStream> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(StdStream::Tcp),
            Self::Unix(stream) => stream.into_std().map(StdStream::Unix),
        }
    }

    /// Gives it to the runtime that this is called on.
    ///
    /// # Errors
    /// The system's.
    pub fn from_std(stream: StdStream) -> io::Result<Self> {
        match stream {
            StdStream::Tcp(stream) => TcpStream::from_std(stream).map(Self::Tcp),
            StdStream::Unix(stream) => UnixStream::from_std(stream).map(Self::Unix),
        }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
