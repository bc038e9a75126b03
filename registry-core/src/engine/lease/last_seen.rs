//! `last_seen` beside the log: saved now and then, in blocks, so that a restart forgets little of it.

use std::collections::{HashMap, HashSet};

use super::LeaseConfig;
use crate::engine::view::View;
use crate::limits::NOTE_BYTES_MAX;
use crate::model::Name;
use crate::revision::Revision;
use crate::store::Note;

/// First byte of a block, which says how the rest is read.
const FORM: u8 = 1;
/// Bytes of one lease: its fencing revision and the wall time in nanoseconds, little endian.
const LEASE_BYTES: usize = 16;
/// Leases in one block.
const BLOCK_LEASES: usize = (NOTE_BYTES_MAX - 1) / LEASE_BYTES;
const PREFIX: &str = "last_seen/";

/// What is being saved, and what was saved before.
#[derive(Debug)]
pub(super) struct LastSeen {
    interval_ms: u64,
    keeper: String,
    next_ms: u64,
    /// Where a save that is under way has got to.
    under_way: Option<Progress>,
    /// Blocks of the save before, and of other keepers, that are to be deleted unless they are written again.
    stale: HashSet<String>,
}

#[derive(Debug, Default)]
struct Progress {
    after: Option<(Name, Name)>,
    blocks: usize,
}

impl LastSeen {
    pub(super) fn new(config: &LeaseConfig, keeper: &str) -> Self {
        let interval_ms = u64::try_from(config.last_seen_interval.as_millis()).unwrap_or(u64::MAX);
        Self {
            interval_ms,
            keeper: keeper.to_owned(),
            next_ms: interval_ms,
            under_way: None,
            stale: HashSet::new(),
        }
    }

    /// Reads what was saved: wall times in nanoseconds by fencing revision. A block that cannot be read is as one that
    /// was lost.
    pub(super) fn read(&mut self, notes: &[Note]) -> HashMap<Revision, i64> {
        let blocks = notes.iter().filter(|note| note.name.starts_with(PREFIX));
        let mut seen = HashMap::new();
        for Note { name, content } in blocks {
            self.stale.insert(name.clone());
            let Some((&FORM, leases)) = content.split_first() else {
                continue;
            };
            let (leases, _) = leases.as_chunks::<LEASE_BYTES>();
            for lease in leases {
                let (fencing, nanos) = lease.split_at(LEASE_BYTES / 2);
                let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
                seen.insert(Revision(number(fencing)), number(nanos).cast_signed());
            }
        }
        seen
    }

    /// The next notes to write, where some are due: one block at a time, so that no tick takes long.
    pub(super) fn due(&mut self, view: &View, now_ms: u64) -> Vec<Note> {
        if self.under_way.is_none() {
            if now_ms < self.next_ms {
                return Vec::new();
            }
            self.next_ms = now_ms.saturating_add(self.interval_ms);
            self.under_way = Some(Progress::default());
        }
        let progress = self.under_way.get_or_insert_default();
        let after = progress.after.as_ref();
        let after = after.map(|(service, id)| (service.as_str(), id.as_str()));
        let leased = view
            .instances_after(after)
            .filter_map(|instance| Some((instance, instance.lease()?)));
        let mut content = vec![FORM];
        let mut last = None;
        for (instance, lease) in leased.take(BLOCK_LEASES) {
            content.extend(lease.fencing_revision().0.to_le_bytes());
            content.extend(lease.last_seen().as_nanos().to_le_bytes());
            last = Some((instance.service().clone(), instance.id().clone()));
        }
        if last.is_none() {
            let written = progress.blocks;
            self.under_way = None;
            let deleted = self.delete_stale(view);
            // They are to be written again by the next save, or deleted.
            let names = (0..written).map(|block| block_name(&self.keeper, block));
            self.stale.extend(names);
            return deleted;
        }
        let name = block_name(&self.keeper, progress.blocks);
        progress.blocks += 1;
        progress.after = last;
        self.stale.remove(&name);
        vec![Note { name, content }]
    }

    /// Blocks that this save did not write: its own of before, and those of keepers that are gone.
    fn delete_stale(&mut self, view: &View) -> Vec<Note> {
        let own = self.keeper.as_str();
        let is_ours = |name: &String| {
            let keeper = name[PREFIX.len()..]
                .rsplit_once('/')
                .map_or("", |(id, _)| id);
            own.is_empty() || view.keeper_now(keeper) == own
        };
        let note = |name: String| Note {
            name,
            content: Vec::new(),
        };
        self.stale.extract_if(is_ours).map(note).collect()
    }
}

fn block_name(keeper: &str, block: usize) -> String {
    format!("{PREFIX}{keeper}/{block}")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{adopted, view};
    use super::*;

    #[test]
    fn blocks_of_keepers_that_are_gone_are_deleted() {
        let mut last_seen = LastSeen::new(&LeaseConfig::default(), "own");
        let note = |name: &str, content| Note {
            name: name.to_owned(),
            content,
        };
        let known = ["last_seen/own/0", "last_seen/gone/0", "last_seen/other/0"];
        last_seen.read(&known.map(|name| note(name, vec![FORM])));
        let view = view(vec![adopted("gone", "own")]);
        assert!(last_seen.due(&view, 59_999).is_empty());
        let mut deleted = last_seen.due(&view, 60_000);
        deleted.sort_by(|one, other| one.name.cmp(&other.name));
        let expected = ["last_seen/gone/0", "last_seen/own/0"];
        assert_eq!(deleted, expected.map(|name| note(name, Vec::new())));
    }
}
