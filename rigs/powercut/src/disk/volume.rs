//! The mounted disk: what a process sees, what is on the platter, and what is on its way.
//!
//! Invariant: `live` is `platter` with every change of `pending` applied, but for the pages in `forgotten`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::change::{Change, Place, overwrite};
use super::image::{FILE_BYTES_MAX, Image, Inode, Kind, Refusal};
use super::survival::{Crash, Survival};

/// Pages are kept and lost as a whole, in bytes.
pub(super) const PAGE_BYTES: usize = 4096;

/// What a sync makes durable beside the bytes of the file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Model {
    /// Every change of a name before it: names and cuts go through one journal.
    Ext4,
    /// Nothing: a name lasts once its folder is synced.
    Strict,
    /// As `ext4`, on a disk where bytes are on the platter at once and sizes and names at a sync: the kindest that
    /// `sync_file_range` can be.
    Sfr,
}

/// What goes wrong with one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// It is answered EIO. The pages of a sync count as clean and never reach the platter.
    Io,
    /// As `Io`, with ENOSPC.
    NoSpace,
    /// Half of a write is done. Other operations have no halves.
    Short,
}

/// A promise that the disk breaks without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Syncs of files whose name contains this do nothing.
    IgnoreFiles(&'static str),
    /// Syncs of folders do nothing.
    IgnoreFolders,
    /// The n-th sync is answered, and what it was for never reaches the platter.
    Swallow(u64),
}

/// What becomes of the operations that change something. They are counted from 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// This operation is lost, and every call after it is answered EIO.
    pub(crate) halt_at: Option<u64>,
    /// What goes wrong with one operation.
    pub(crate) fault: Option<(u64, Fault)>,
    /// What the disk does not do although it says so.
    pub(crate) lie: Option<Lie>,
}

/// What an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Bytes of a file.
    Write,
    /// A size, a name.
    Metadata,
    /// What is on the platter.
    Sync,
}

/// A disk that a process writes to.
#[derive(Debug)]
pub(crate) struct Volume {
    model: Model,
    plan: Plan,
    live: Image,
    platter: Image,
    pending: Vec<Change>,
    /// Pages that the system takes for clean although a sync of them failed.
    forgotten: BTreeMap<Inode, BTreeSet<usize>>,
    history: Vec<Operation>,
    syncs: u64,
    is_halted: bool,
}

impl Volume {
    /// A disk that was just switched on.
    pub(crate) fn new(mut image: Image, model: Model, plan: Plan) -> Self {
        image.sweep();
        Self {
            model,
            plan,
            live: image.clone(),
            platter: image,
            pending: Vec::new(),
            forgotten: BTreeMap::new(),
            history: Vec::new(),
            syncs: 0,
            is_halted: false,
        }
    }

    /// Goes on after the death of the process, with what it wrote.
    pub(crate) fn resume(&mut self, plan: Plan) {
        self.plan = plan;
        self.is_halted = false;
        self.history.clear();
        self.syncs = 0;
    }

    /// Whether the operation came at which everything ends.
    pub(crate) fn is_halted(&self) -> bool {
        self.is_halted
    }

    /// The operations so far that changed something, the one that was lost included.
    pub(crate) fn history(&self) -> &[Operation] {
        &self.history
    }

    /// What a process sees.
    pub(crate) fn live(&self) -> Result<&Image, Refusal> {
        if self.is_halted {
            return Err(Refusal::Io);
        }
        Ok(&self.live)
    }

    /// What a process saw, for the next one.
    pub(crate) fn seen(&self) -> Image {
        self.live.clone()
    }

    /// What is found when the power is back.
    pub(crate) fn crash(&self, survival: Survival, rng: &mut fastrand::Rng) -> Image {
        let crash = Crash {
            model: self.model,
            platter: &self.platter,
            pending: &self.pending,
        };
        crash.choose(survival, rng)
    }

    /// Counts an operation, and answers what goes wrong with it.
    fn begin(&mut self, operation: Operation) -> Result<Option<Fault>, Refusal> {
        if self.is_halted {
            return Err(Refusal::Io);
        }
        self.history.push(operation);
        let number = self.history.len() as u64;
        if self.plan.halt_at == Some(number) {
            self.is_halted = true;
            return Err(Refusal::Io);
        }
        let (at, fault) = self.plan.fault.unzip();
        Ok(fault.filter(|_| at == Some(number)))
    }

    fn begin_metadata(&mut self) -> Result<(), Refusal> {
        match self.begin(Operation::Metadata)? {
            Some(Fault::Io) => Err(Refusal::Io),
            Some(Fault::NoSpace) => Err(Refusal::NoSpace),
            Some(Fault::Short) | None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// Writes bytes, and answers how many.
    pub(crate) fn write(
        &mut self,
        inode: Inode,
        offset: u64,
        bytes: &[u8],
    ) -> Result<usize, Refusal> {
        self.live()?.bytes(inode)?;
        let done = match self.begin(Operation::Write)? {
            Some(Fault::Io) => return Err(Refusal::Io),
            Some(Fault::NoSpace) => return Err(Refusal::NoSpace),
            Some(Fault::Short) => bytes.len().div_ceil(2),
            None => bytes.len(),
        };
        let offset = in_file(offset)?;
        in_file((offset + done) as u64)?;
        let range = self.with_forgotten(inode, offset..offset + done);
        if let Some(file) = self.live.file_mut(inode) {
            overwrite(file, offset, &bytes[..done]);
            let end = range.end.min(file.len());
            let bytes = file[range.start..end].to_vec();
            self.pending.push(Change::Write {
                inode,
                offset: range.start,
                bytes,
            });
        }
        Ok(done)
    }

    /// The range that is dirty after a write: a page that a failed sync forgot is written as a whole again.
    fn with_forgotten(&mut self, inode: Inode, range: Range<usize>) -> Range<usize> {
        let Some(forgotten) = self.forgotten.get_mut(&inode) else {
            return range;
        };
        let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
        let mut dirty = range;
        for page in pages.filter(|page| forgotten.remove(page)) {
            dirty.start = dirty.start.min(page * PAGE_BYTES);
            dirty.end = dirty.end.max((page + 1) * PAGE_BYTES);
        }
        dirty
    }

    /// Sets the size of a file.
    pub(crate) fn resize(&mut self, inode: Inode, size: u64) -> Result<(), Refusal> {
        let from = self.live()?.bytes(inode)?.len();
        let to = in_file(size)?;
        self.begin_metadata()?;
        self.change(Change::Resize { inode, from, to });
        Ok(())
    }

    /// Sets rights. They are on the platter at once: no store depends on them.
    pub(crate) fn set_mode(&mut self, inode: Inode, mode: u16) -> Result<(), Refusal> {
        self.live()?;
        self.live.set_mode(inode, mode);
        self.platter.set_mode(inode, mode);
        Ok(())
    }

    /// Makes a file, a folder or a socket.
    pub(crate) fn create(
        &mut self,
        folder: Inode,
        name: &OsStr,
        kind: Kind,
        mode: u16,
    ) -> Result<Inode, Refusal> {
        if self.live()?.names(folder)?.contains_key(name) {
            return Err(Refusal::Exists);
        }
        self.begin_metadata()?;
        let inode = self.live.add(kind, mode);
        // What is synced of it is on the platter, whether or not its name is.
        self.platter.add_as(inode, kind, mode);
        self.change(Change::Create {
            place: place(folder, name),
            inode,
        });
        Ok(inode)
    }

    /// Removes the name of a file or of an empty folder.
    pub(crate) fn remove(
        &mut self,
        folder: Inode,
        name: &OsStr,
        kind: Kind,
    ) -> Result<(), Refusal> {
        let live = self.live()?;
        let inode = live.lookup(folder, name)?;
        check_replaceable(live, inode, kind)?;
        self.begin_metadata()?;
        self.change(Change::Remove {
            place: place(folder, name),
        });
        Ok(())
    }

    /// Moves a name, over a file or an empty folder that has the new one.
    pub(crate) fn rename(
        &mut self,
        from: (Inode, &OsStr),
        to: (Inode, &OsStr),
    ) -> Result<(), Refusal> {
        let live = self.live()?;
        let inode = live.lookup(from.0, from.1)?;
        match live.lookup(to.0, to.1) {
            Ok(old) if old == inode => return Ok(()),
            Ok(old) => check_replaceable(live, old, live.kind(inode)?)?,
            Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal),
        }
        self.begin_metadata()?;
        self.change(Change::Rename {
            from: place(from.0, from.1),
            to: place(to.0, to.1),
            inode,
        });
        Ok(())
    }

    /// Makes a file or a folder durable, with what the model adds.
    pub(crate) fn sync(&mut self, inode: Inode) -> Result<(), Refusal> {
        let kind = self.live()?.kind(inode)?;
        let fault = self.begin(Operation::Sync)?;
        self.syncs += 1;
        match fault {
            Some(Fault::Io) => {
                self.forget(inode);
                return Err(Refusal::Io);
            }
            Some(Fault::NoSpace) => {
                self.forget(inode);
                return Err(Refusal::NoSpace);
            }
            Some(Fault::Short) | None => {}
        }
        match &self.plan.lie {
            Some(Lie::Swallow(number)) if *number == self.syncs => self.forget(inode),
            Some(Lie::IgnoreFolders) if kind == Kind::Folder => {}
            Some(Lie::IgnoreFiles(part)) if self.is_named(inode, part) => {}
            _ => self.commit(inode),
        }
        Ok(())
    }

    fn is_named(&self, inode: Inode, part: &str) -> bool {
        let mut names = self.live.entries();
        names.any(|(name, named)| named == inode && name.to_string_lossy().contains(part))
    }

    fn commit(&mut self, inode: Inode) {
        match self.model {
            Model::Ext4 => {
                self.commit_shrinks();
                self.settle(|change| change.file().is_none_or(|file| file == inode));
            }
            Model::Sfr => self.settle(|_| true),
            Model::Strict => {
                let names = names_to_settle(&self.pending, inode);
                let mut index = 0;
                self.settle(|change| {
                    index += 1;
                    change.file() == Some(inode) || names.contains(&(index - 1))
                });
            }
        }
    }

    /// Moves changes to the platter, in order.
    fn settle(&mut self, mut is_settled: impl FnMut(&Change) -> bool) {
        let platter = &mut self.platter;
        self.pending.retain(|change| {
            let is_settled = is_settled(change);
            if is_settled {
                change.apply(platter);
            }
            !is_settled
        });
    }

    /// Cuts files on the platter where their process cut them: that goes through the journal, their bytes do not.
    fn commit_shrinks(&mut self) {
        while let Some(at) = self.pending.iter().position(Change::is_shrink) {
            let shrink = self.pending.remove(at);
            let Change::Resize { inode, to, .. } = shrink else {
                continue;
            };
            if self.platter.bytes(inode).is_ok_and(|file| file.len() > to) {
                shrink.apply(&mut self.platter);
            }
            for change in &mut self.pending[..at] {
                clip(change, inode, to);
            }
        }
    }

    /// Takes the dirty pages of a file for clean.
    fn forget(&mut self, inode: Inode) {
        let (lost, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|change| change.file() == Some(inode));
        self.pending = kept;
        let pages = self.forgotten.entry(inode).or_default();
        for change in lost {
            if let Change::Write { offset, bytes, .. } = change {
                pages.extend(offset / PAGE_BYTES..(offset + bytes.len()).div_ceil(PAGE_BYTES));
            }
        }
    }
}

fn in_file(offset: u64) -> Result<usize, Refusal> {
    if offset > FILE_BYTES_MAX {
        return Err(Refusal::NoSpace);
    }
    usize::try_from(offset).map_err(|_| Refusal::NoSpace)
}

fn place(folder: Inode, name: &OsStr) -> Place {
    Place {
        folder,
        name: OsString::from(name),
    }
}

/// Checks that a node may lose its name to one of a kind.
fn check_replaceable(live: &Image, inode: Inode, kind: Kind) -> Result<(), Refusal> {
    match (live.kind(inode)?, kind) {
        (Kind::Folder, Kind::Folder) if !live.names(inode)?.is_empty() => Err(Refusal::NotEmpty),
        (Kind::Folder, Kind::File | Kind::Socket) => Err(Refusal::IsAFolder),
        (Kind::File | Kind::Socket, Kind::Folder) => Err(Refusal::NotAFolder),
        _ => Ok(()),
    }
}

/// Takes from an unsynced change what a later cut of the file removed.
fn clip(change: &mut Change, cut: Inode, size: usize) {
    match change {
        Change::Write {
            inode,
            offset,
            bytes,
        } if *inode == cut => {
            bytes.truncate(size.saturating_sub(*offset));
            *offset = (*offset).min(size);
        }
        Change::Resize { inode, to, .. } if *inode == cut => *to = (*to).min(size),
        _ => {}
    }
}

/// The changes of names that a sync of a folder makes durable: its own, and what led to the names that moved into it.
pub(super) fn names_to_settle(pending: &[Change], folder: Inode) -> BTreeSet<usize> {
    let mut settled = BTreeSet::new();
    let mut sources: Vec<&Place> = Vec::new();
    for (index, change) in pending.iter().enumerate().rev() {
        let Some(place) = change.place() else {
            continue;
        };
        if place.folder == folder || sources.contains(&place) {
            settled.insert(index);
            if let Change::Rename { from, .. } = change {
                sources.push(from);
            }
        }
    }
    settled
}
