//! Files and folders, as a process or the platter has them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Number of a file or a folder; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Inode(pub(crate) u64);

/// The folder that is mounted.
pub(crate) const ROOT: Inode = Inode(1);

/// Largest file, in bytes: the stores of the rig stay far below it.
pub(crate) const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why an operation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound,
    Exists,
    NotAFolder,
    IsAFolder,
    IsASocket,
    NotEmpty,
    NoSpace,
    Io,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    /// A name at which processes meet. The kernel does the rest; nothing is stored.
    Socket,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// Shared between images until one of them writes.
    File(Arc<Vec<u8>>),
    Folder(BTreeMap<OsString, Inode>),
    Socket,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    content: Content,
    mode: u16,
}

/// Files and folders below one root. A clone costs one reference count a file.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    nodes: BTreeMap<Inode, Node>,
    next: u64,
}

impl Image {
    /// An empty root.
    pub(crate) fn empty() -> Self {
        let root = Node {
            content: Content::Folder(BTreeMap::new()),
            mode: 0o700,
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT.0 + 1,
        }
    }

    /// Adds a node without a name.
    pub(crate) fn add(&mut self, kind: Kind, mode: u16) -> Inode {
        let inode = Inode(self.next);
        self.add_as(inode, kind, mode);
        inode
    }

    /// Adds a node without a name under a number that another image gave it.
    pub(crate) fn add_as(&mut self, inode: Inode, kind: Kind, mode: u16) {
        let content = match kind {
            Kind::File => Content::File(Arc::default()),
            Kind::Folder => Content::Folder(BTreeMap::new()),
            Kind::Socket => Content::Socket,
        };
        self.nodes.insert(inode, Node { content, mode });
        self.next = self.next.max(inode.0 + 1);
    }

    pub(crate) fn kind(&self, inode: Inode) -> Result<Kind, Refusal> {
        match self.node(inode)?.content {
            Content::File(_) => Ok(Kind::File),
            Content::Folder(_) => Ok(Kind::Folder),
            Content::Socket => Ok(Kind::Socket),
        }
    }

    pub(crate) fn mode(&self, inode: Inode) -> Result<u16, Refusal> {
        Ok(self.node(inode)?.mode)
    }

    pub(crate) fn set_mode(&mut self, inode: Inode, mode: u16) {
        if let Some(node) = self.nodes.get_mut(&inode) {
            node.mode = mode;
        }
    }

    fn node(&self, inode: Inode) -> Result<&Node, Refusal> {
        self.nodes.get(&inode).ok_or(Refusal::NotFound)
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, inode: Inode) -> Result<&[u8], Refusal> {
        match &self.node(inode)?.content {
            Content::File(bytes) => Ok(bytes),
            Content::Folder(_) => Err(Refusal::IsAFolder),
            Content::Socket => Err(Refusal::IsASocket),
        }
    }

    /// The names in a folder, in order.
    pub(crate) fn names(&self, folder: Inode) -> Result<&BTreeMap<OsString, Inode>, Refusal> {
        match &self.node(folder)?.content {
            Content::Folder(names) => Ok(names),
            Content::File(_) | Content::Socket => Err(Refusal::NotAFolder),
        }
    }

    pub(crate) fn lookup(&self, folder: Inode, name: &OsStr) -> Result<Inode, Refusal> {
        let found = self.names(folder)?.get(name).copied();
        found.ok_or(Refusal::NotFound)
    }

    /// Every name with its node, whatever the folder.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&OsStr, Inode)> {
        let folders = self.nodes.values().filter_map(|node| match &node.content {
            Content::Folder(names) => Some(names),
            Content::File(_) | Content::Socket => None,
        });
        folders.flat_map(|names| names.iter().map(|(name, inode)| (&**name, *inode)))
    }

    /// Replaces the bytes of a file; one that is not there is left alone.
    pub(crate) fn set_bytes(&mut self, inode: Inode, bytes: Vec<u8>) {
        if let Some(file) = self.file_mut(inode) {
            *file = bytes;
        }
    }

    /// The bytes of a file to change, where it is one.
    pub(crate) fn file_mut(&mut self, inode: Inode) -> Option<&mut Vec<u8>> {
        match &mut self.nodes.get_mut(&inode)?.content {
            Content::File(bytes) => Some(Arc::make_mut(bytes)),
            Content::Folder(_) | Content::Socket => None,
        }
    }

    /// The names of a folder to change, where it is one.
    pub(crate) fn names_mut(&mut self, folder: Inode) -> Option<&mut BTreeMap<OsString, Inode>> {
        match &mut self.nodes.get_mut(&folder)?.content {
            Content::Folder(names) => Some(names),
            Content::File(_) | Content::Socket => None,
        }
    }

    /// Drops what no name leads to.
    pub(crate) fn sweep(&mut self) {
        let mut reached = vec![ROOT];
        let mut at = 0;
        while let Some(inode) = reached.get(at).copied() {
            at += 1;
            if let Some(names) = self.names_mut(inode) {
                reached.extend(names.values());
            }
        }
        self.nodes.retain(|inode, _| reached.contains(inode));
    }

    /// Writes everything below the root into a folder of a real disk, but for sockets.
    pub(crate) fn export(&self, to: &Path) -> io::Result<()> {
        self.export_folder(ROOT, to)
    }

    fn export_folder(&self, folder: Inode, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for (name, inode) in self.names(folder).unwrap_or(&BTreeMap::new()) {
            let path = to.join(name);
            match self.bytes(*inode) {
                Ok(bytes) => fs::write(&path, bytes)?,
                Err(Refusal::IsAFolder) => self.export_folder(*inode, &path)?,
                Err(_) => {}
            }
        }
        Ok(())
    }
}
