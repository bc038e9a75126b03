//! What is found after a power cut: the platter, and what of the unsynced changes reached it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::image::{Image, Inode};
use super::volume::{Model, PAGE_BYTES, names_to_settle};

/// A disk writes sectors whole, in bytes.
const SECTOR_BYTES: usize = 512;

/// What becomes of changes that were not synced.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Survival {
    /// All are lost.
    Drop,
    /// Those before a random moment are there, in order.
    Prefix,
    /// Each page, and in a quarter of the cuts each sector, is as it was at a moment of its own; names are those of a
    /// moment. No later write survives an earlier one to the same page.
    Random,
}

/// The moment of a cut.
pub(super) struct Crash<'a> {
    pub(super) model: Model,
    pub(super) platter: &'a Image,
    pub(super) pending: &'a [Change],
}

/// What of the unsynced changes of one file survives, by their index among them.
struct Fate {
    /// Changes from here on are gone: a cut of the file that did not last, and what came after it.
    end: usize,
    /// Growth before this is there.
    size: usize,
    /// A unit of the disk, in bytes, and before which change each is as it was.
    unit: usize,
    moments: Moments,
}

enum Moments {
    All(usize),
    Each(Vec<usize>),
}

impl Moments {
    fn of(&self, unit: usize) -> usize {
        match self {
            Self::All(moment) => *moment,
            Self::Each(moments) => moments[unit],
        }
    }
}

impl Crash<'_> {
    pub(super) fn choose(&self, survival: Survival, rng: &mut fastrand::Rng) -> Image {
        let mut found = self.platter.clone();
        let moment = match survival {
            Survival::Drop => 0,
            Survival::Prefix | Survival::Random => rng.usize(..=self.pending.len()),
        };
        let names = match (survival, self.model) {
            (Survival::Random, Model::Strict) => self.names_of_folders(rng),
            _ => (0..moment).collect(),
        };
        let pending = self.pending.iter().enumerate();
        pending
            .filter(|(index, change)| names.contains(index) && change.file().is_none())
            .for_each(|(_, change)| change.apply(&mut found));
        let unit = if rng.u8(..4) == 0 {
            SECTOR_BYTES
        } else {
            PAGE_BYTES
        };
        for (inode, changes) in self.files() {
            let fate = match survival {
                Survival::Random => self.random_fate(&changes, unit, rng),
                _ => self.fate_at(&changes, moment),
            };
            let changes: Vec<&Change> = changes.iter().map(|(_, change)| *change).collect();
            if let Ok(base) = self.platter.bytes(inode) {
                found.set_bytes(inode, survivor(base, &changes, &fate));
            }
        }
        found.sweep();
        found
    }

    /// The unsynced changes of each file, with their place among all.
    fn files(&self) -> BTreeMap<Inode, Vec<(usize, &Change)>> {
        let mut files: BTreeMap<Inode, Vec<(usize, &Change)>> = BTreeMap::new();
        for (index, change) in self.pending.iter().enumerate() {
            if let Some(inode) = change.file() {
                files.entry(inode).or_default().push((index, change));
            }
        }
        files
    }

    /// For each folder the changes of names before a moment of its own.
    fn names_of_folders(&self, rng: &mut fastrand::Rng) -> BTreeSet<usize> {
        let places = self.pending.iter().filter_map(Change::place);
        let folders: BTreeSet<Inode> = places.map(|place| place.folder).collect();
        let settled = folders.into_iter().flat_map(|folder| {
            let moment = rng.usize(..=self.pending.len());
            names_to_settle(&self.pending[..moment], folder)
        });
        settled.collect()
    }

    /// What is there of a file where everything stopped at one moment.
    fn fate_at(&self, changes: &[(usize, &Change)], moment: usize) -> Fate {
        let size = changes.partition_point(|(index, _)| *index < moment);
        let end = match self.model {
            // Bytes are on the platter at once, up to a cut of the file that is not.
            Model::Sfr => {
                let later = changes[size..].iter();
                let cut = later.clone().position(|(_, change)| change.is_shrink());
                cut.map_or(changes.len(), |cut| size + cut)
            }
            Model::Ext4 | Model::Strict => size,
        };
        Fate {
            end,
            size,
            unit: PAGE_BYTES,
            moments: Moments::All(end),
        }
    }

    fn random_fate(
        &self,
        changes: &[(usize, &Change)],
        unit: usize,
        rng: &mut fastrand::Rng,
    ) -> Fate {
        let shrinks = changes.iter().enumerate();
        let shrinks = shrinks.filter_map(|(at, (_, change))| change.is_shrink().then_some(at));
        let ends: Vec<usize> = shrinks.chain([changes.len()]).collect();
        let end = ends[rng.usize(..ends.len())];
        let bytes = changes.iter().map(|(_, change)| reach(change)).max();
        let units = bytes.unwrap_or(0).div_ceil(unit);
        let moments = match self.model {
            Model::Sfr => Moments::All(end),
            Model::Ext4 | Model::Strict => {
                Moments::Each((0..units).map(|_| rng.usize(..=end)).collect())
            }
        };
        Fate {
            end,
            size: rng.usize(..=end),
            unit,
            moments,
        }
    }
}

/// Where a change of a file ends, in bytes.
fn reach(change: &Change) -> usize {
    match change {
        Change::Write { offset, bytes, .. } => offset + bytes.len(),
        Change::Resize { from, to, .. } => *from.max(to),
        _ => 0,
    }
}

/// What is left of a file.
fn survivor(base: &[u8], changes: &[&Change], fate: &Fate) -> Vec<u8> {
    let mut found = base.to_vec();
    let mut size = base.len();
    for (at, change) in changes[..fate.end].iter().enumerate() {
        match change {
            Change::Write { offset, bytes, .. } => {
                let end = offset + bytes.len();
                if found.len() < end {
                    found.resize(end, 0);
                }
                for unit in offset / fate.unit..end.div_ceil(fate.unit) {
                    let from = (unit * fate.unit).max(*offset);
                    let to = ((unit + 1) * fate.unit).min(end);
                    if at < fate.moments.of(unit) {
                        found[from..to].copy_from_slice(&bytes[from - offset..to - offset]);
                    }
                }
                if at < fate.size {
                    size = size.max(end);
                }
            }
            Change::Resize { to, .. } if change.is_shrink() => {
                found.truncate(*to);
                size = size.min(*to);
            }
            Change::Resize { to, .. } if at < fate.size => size = size.max(*to),
            _ => {}
        }
    }
    found.resize(size, 0);
    found
}
