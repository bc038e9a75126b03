//! One change that is not on the platter yet.

use std::ffi::OsString;

use super::image::{Image, Inode};

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) folder: Inode,
    pub(super) name: OsString,
}

/// What a process did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Bytes of a file.
    Write {
        inode: Inode,
        offset: usize,
        bytes: Vec<u8>,
    },
    /// The size of a file, without bytes.
    Resize {
        inode: Inode,
        from: usize,
        to: usize,
    },
    /// A name for a node that was made with it, and is on both sides since.
    Create { place: Place, inode: Inode },
    /// A name less.
    Remove { place: Place },
    /// A name that moved, over whatever had the new one.
    Rename {
        from: Place,
        to: Place,
        inode: Inode,
    },
}

impl Change {
    /// The file whose content it changes.
    pub(super) fn file(&self) -> Option<Inode> {
        match self {
            Self::Write { inode, .. } | Self::Resize { inode, .. } => Some(*inode),
            _ => None,
        }
    }

    /// The name whose folder must be synced for it to last.
    pub(super) fn place(&self) -> Option<&Place> {
        match self {
            Self::Create { place, .. } | Self::Remove { place } => Some(place),
            Self::Rename { to, .. } => Some(to),
            Self::Write { .. } | Self::Resize { .. } => None,
        }
    }

    /// Whether it cuts a file short.
    pub(super) fn is_shrink(&self) -> bool {
        matches!(self, Self::Resize { from, to, .. } if to < from)
    }

    /// Does the same to another image.
    pub(super) fn apply(&self, image: &mut Image) {
        match self {
            Self::Write {
                inode,
                offset,
                bytes,
            } => {
                if let Some(file) = image.file_mut(*inode) {
                    overwrite(file, *offset, bytes);
                }
            }
            Self::Resize { inode, to, .. } => {
                if let Some(file) = image.file_mut(*inode) {
                    file.resize(*to, 0);
                }
            }
            Self::Create { place, inode } => set(image, place, *inode),
            Self::Remove { place } => unset(image, place, None),
            Self::Rename { from, to, inode } => {
                unset(image, from, Some(*inode));
                set(image, to, *inode);
            }
        }
    }
}

/// Writes bytes into a file, which grows where it must.
pub(super) fn overwrite(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

fn set(image: &mut Image, place: &Place, inode: Inode) {
    if let Some(names) = image.names_mut(place.folder) {
        names.insert(place.name.clone(), inode);
    }
}

/// Removes a name; with `only`, where it still names that node.
fn unset(image: &mut Image, place: &Place, only: Option<Inode>) {
    if let Some(names) = image.names_mut(place.folder)
        && only.is_none_or(|inode| names.get(&place.name) == Some(&inode))
    {
        names.remove(&place.name);
    }
}
