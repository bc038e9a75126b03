//! A volume, mounted.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use fuser::{
    BackgroundSession, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, WriteFlags,
};
use rustix::mount::UnmountFlags;

use crate::disk::{Image, Inode, Kind, Model, Plan, ROOT, Refusal, Volume};
use crate::process::Event;

/// How long the kernel may remember what it was told: nobody else changes it.
const TTL: Duration = Duration::from_secs(3600);
/// What is said to be free, in blocks: enough for any store of the rig.
const BLOCKS: u64 = 1 << 20;
const BLOCK_BYTES: u32 = 4096;

/// A volume at a folder, until it is unmounted.
pub(crate) struct Mounted {
    session: BackgroundSession,
    point: PathBuf,
    volume: Arc<Mutex<Volume>>,
}

impl Mounted {
    /// Mounts a volume; `on_halt` is told once, when the operation comes at which everything ends.
    pub(crate) fn new(
        volume: Volume,
        point: &Path,
        on_halt: Option<Sender<Event>>,
    ) -> Result<Self> {
        let volume = Arc::new(Mutex::new(volume));
        let files = Files {
            volume: Arc::clone(&volume),
            on_halt: Mutex::new(on_halt),
        };
        let session = fuser::spawn_mount(files, point, &fuser::Config::default());
        Ok(Self {
            session: session.with_context(|| format!("mount at {}", point.display()))?,
            point: point.to_path_buf(),
            volume,
        })
    }

    /// Does something to the volume; no operation comes in between.
    pub(crate) fn with_volume<T>(&self, act: impl FnOnce(&mut Volume) -> T) -> T {
        act(&mut lock(&self.volume))
    }

    /// Unmounts the volume and answers it. Every process that used it must have ended.
    pub(crate) fn unmount(self) -> Result<Volume> {
        unmount(&self.point)?;
        match self.session.join() {
            // That is how the kernel may tell that the mount is gone.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            ended => ended.context("end the session of the mount")?,
        }
        let volume = Arc::into_inner(self.volume).context("the session has ended")?;
        Ok(volume.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Unmounts whatever is mounted at a folder, in use or not.
pub(crate) fn unmount(point: &Path) -> Result<()> {
    rustix::mount::unmount(point, UnmountFlags::DETACH)
        .with_context(|| format!("unmount {}", point.display()))
}

fn lock(volume: &Mutex<Volume>) -> MutexGuard<'_, Volume> {
    volume.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel's requests, answered from a volume.
struct Files {
    volume: Arc<Mutex<Volume>>,
    on_halt: Mutex<Option<Sender<Event>>>,
}

impl Files {
    fn read<T>(&self, call: impl FnOnce(&Image) -> Result<T, Refusal>) -> Result<T, Errno> {
        let volume = lock(&self.volume);
        volume.live().and_then(call).map_err(errno)
    }

    fn write<T>(&self, call: impl FnOnce(&mut Volume) -> Result<T, Refusal>) -> Result<T, Errno> {
        let mut volume = lock(&self.volume);
        let answer = call(&mut volume).map_err(errno);
        if volume.is_halted()
            && let Some(on_halt) = self
                .on_halt
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        {
            // Nobody listens any more where the process ended by itself.
            let _ = on_halt.send(Event::Halted);
        }
        answer
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        (kind, mode): (Kind, u32),
    ) -> Result<FileAttr, Errno> {
        let attributes = self.write(|volume| {
            let inode = volume.create(Inode(parent.0), name, kind, permissions(mode))?;
            attributes(volume.live()?, inode)
        })?;
        Ok(FileAttr {
            uid: request.uid(),
            gid: request.gid(),
            ..attributes
        })
    }
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("twelve bits fit")
}

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::NotFound => Errno::ENOENT,
        Refusal::Exists => Errno::EEXIST,
        Refusal::NotAFolder => Errno::ENOTDIR,
        Refusal::IsAFolder => Errno::EISDIR,
        Refusal::IsASocket => Errno::ENXIO,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
        Refusal::NoSpace => Errno::ENOSPC,
        Refusal::Io => Errno::EIO,
    }
}

fn attributes(image: &Image, inode: Inode) -> Result<FileAttr, Refusal> {
    let (kind, size) = match image.kind(inode)? {
        Kind::File => (FileType::RegularFile, image.bytes(inode)?.len() as u64),
        Kind::Folder => (FileType::Directory, 0),
        Kind::Socket => (FileType::Socket, 0),
    };
    let time = SystemTime::UNIX_EPOCH;
    Ok(FileAttr {
        ino: INodeNo(inode.0),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: image.mode(inode)?,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    })
}

/// Sends an answer: what was asked for, or the error.
macro_rules! answer {
    ($reply:ident, $answer:expr, $value:pat => $sent:expr) => {
        match $answer {
            Ok($value) => $sent,
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.read(|live| attributes(live, live.lookup(Inode(parent.0), name)?));
        answer!(reply, found, found => reply.entry(&TTL, &found, Generation(0)));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.read(|live| attributes(live, Inode(inode.0)));
        answer!(reply, found, found => reply.attr(&TTL, &found));
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<fuser::TimeOrNow>,
        _: Option<fuser::TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let inode = Inode(inode.0);
        let done = self.write(|volume| {
            if let Some(mode) = mode {
                volume.set_mode(inode, permissions(mode))?;
            }
            if let Some(size) = size {
                volume.resize(inode, size)?;
            }
            attributes(volume.live()?, inode)
        });
        answer!(reply, done, found => reply.attr(&TTL, &found));
    }

    /// A socket is bound: nothing else is made in this way.
    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        if rustix::fs::FileType::from_raw_mode(mode) != rustix::fs::FileType::Socket {
            return reply.error(Errno::EPERM);
        }
        let answer = self.create(request, parent, name, (Kind::Socket, mode & !umask));
        answer!(reply, answer, found => reply.entry(&TTL, &found, Generation(0)));
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let answer = self.create(request, parent, name, (Kind::Folder, mode & !umask));
        answer!(reply, answer, found => reply.entry(&TTL, &found, Generation(0)));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let answer = self.create(request, parent, name, (Kind::File, mode & !umask));
        answer!(reply, answer, found => {
            reply.created(&TTL, &found, Generation(0), FileHandle(0), FopenFlags::empty());
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.write(|volume| volume.remove(Inode(parent.0), name, Kind::File));
        answer!(reply, done, () => reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.write(|volume| volume.remove(Inode(parent.0), name, Kind::Folder));
        answer!(reply, done, () => reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let to = (Inode(new_parent.0), new_name);
        let done = self.write(|volume| volume.rename((Inode(parent.0), name), to));
        answer!(reply, done, () => reply.ok());
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let found = self.read(|live| live.bytes(Inode(inode.0)).map(drop));
        answer!(reply, found, () => reply.opened(FileHandle(0), FopenFlags::empty()));
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.read(|live| {
            let bytes = live.bytes(Inode(inode.0))?;
            let from = usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
            let to = from.saturating_add(size as usize).min(bytes.len());
            Ok(bytes[from..to].to_vec())
        });
        answer!(reply, read, bytes => reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.write(|volume| volume.write(Inode(inode.0), offset, data));
        answer!(reply, written, written => {
            reply.written(u32::try_from(written).expect("no more than was asked for"));
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // What a process wrote is here already.
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let done = self.write(|volume| volume.sync(Inode(inode.0)));
        answer!(reply, done, () => reply.ok());
    }

    fn fsyncdir(
        &self,
        request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.fsync(request, inode, handle, datasync, reply);
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.read(|live| {
            let names = live.names(Inode(inode.0)).cloned().unwrap_or_default();
            let kinds: BTreeMap<_, _> = names
                .into_iter()
                .map(|(name, inode)| (name, (inode, live.kind(inode))))
                .collect();
            Ok(kinds)
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => return reply.error(error),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (at, (name, (inode, kind))) in listed.iter().enumerate().skip(skipped) {
            let kind = match kind {
                Ok(Kind::Folder) => FileType::Directory,
                Ok(Kind::Socket) => FileType::Socket,
                _ => FileType::RegularFile,
            };
            if reply.add(INodeNo(inode.0), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(
            BLOCKS,
            BLOCKS,
            BLOCKS,
            BLOCKS,
            BLOCKS,
            BLOCK_BYTES,
            255,
            BLOCK_BYTES,
        );
    }
}

/// Checks that a volume can be mounted at a folder.
///
/// # Errors
/// Why not, in words.
pub(crate) fn check_possible(point: &Path) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root may mount".to_owned());
    }
    if !Path::new("/dev/fuse").exists() {
        return Err("there is no /dev/fuse".to_owned());
    }
    let volume = Volume::new(Image::empty(), Model::Strict, Plan::default());
    let tried = Mounted::new(volume, point, None).and_then(Mounted::unmount);
    tried.map(drop).map_err(|error| format!("{error:#}"))
}

const _: () = assert!(
    ROOT.0 == INodeNo::ROOT.0,
    "the kernel asks for the root by this number"
);
