//! Who keeps which leases, in a store that several processes write.
//!
//! Each process that keeps leases shows that it lives by a note that it writes again and again. One that stays silent is
//! taken for gone: another one adopts its leases by one commit, each with its full TTL.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LeaseConfig;
use crate::engine::command::{Action, Expect};
use crate::engine::view::View;
use crate::model::KeeperEntry;
use crate::revision::Revision;
use crate::store::Note;
use crate::transaction::TransactionId;

const PREFIX: &str = "keeper/";

/// This process as a keeper, and the others that it knows.
#[derive(Debug)]
pub(super) struct Keepers {
    own_id: Arc<str>,
    ttl_ms: u64,
    next_ms: u64,
    beats: u64,
    /// Whether leases are kept here.
    keeps: bool,
    /// Keepers of leases that are not kept here, and when they last showed that they live.
    others: BTreeMap<String, Sign>,
}

/// The last sign of life of a keeper.
#[derive(Debug, Default)]
struct Sign {
    content: Option<Vec<u8>>,
    /// When it was first seen, on the clock of the leases; none before the first look.
    since_ms: Option<u64>,
}

impl Keepers {
    pub(super) fn new(config: &LeaseConfig) -> Self {
        Self {
            own_id: new_id(),
            ttl_ms: u64::try_from(config.keeper_ttl.as_millis()).unwrap_or(u64::MAX),
            next_ms: 0,
            beats: 0,
            keeps: false,
            others: BTreeMap::new(),
        }
    }

    pub(super) fn own_id(&self) -> Arc<str> {
        Arc::clone(&self.own_id)
    }

    /// Whether there is neither a lease to keep nor one to watch over.
    pub(super) fn is_idle(&self) -> bool {
        !self.keeps && self.others.is_empty()
    }

    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Whether a lease that names a keeper is kept here. Another keeper is watched from then on.
    pub(super) fn is_ours(&mut self, view: &View, keeper: &str) -> bool {
        let now = view.keeper_now(keeper);
        if now == &*self.own_id {
            self.keeps = true;
            return true;
        }
        if !self.others.contains_key(now) {
            self.others.insert(now.to_owned(), Sign::default());
        }
        false
    }

    /// Takes note that leases moved. Who finds its own adopted, because it was paused for too long, goes on as a new
    /// keeper: what it kept is another one's now.
    pub(super) fn follow(&mut self, view: &View) {
        if view.keeper_now(&self.own_id) != &*self.own_id {
            tracing::warn!(keeper = %self.own_id, "another process adopted the leases that were kept here");
            self.own_id = new_id();
            self.keeps = false;
        }
        self.others.retain(|id, _| view.keeper_now(id) == id);
    }

    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.next_ms && !self.is_idle()
    }

    /// The next sign of life; none of a process that keeps no leases, which nobody waits for.
    pub(super) fn beat(&mut self, now_ms: u64) -> Option<Note> {
        self.next_ms = now_ms + self.ttl_ms / 5;
        self.beats += 1;
        self.keeps.then(|| Note {
            name: format!("{PREFIX}{}", self.own_id),
            content: self.beats.to_le_bytes().to_vec(),
        })
    }

    /// The end of the signs of life, where there were any.
    pub(super) fn end(&self) -> Option<Note> {
        self.keeps.then(|| Self::deleted(&self.own_id))
    }

    /// Takes note of every keeper that ever showed that it lives.
    pub(super) fn meet(&mut self, notes: &[Note]) {
        let ids = notes
            .iter()
            .filter_map(|note| note.name.strip_prefix(PREFIX));
        for id in ids.filter(|id| *id != &*self.own_id) {
            self.others.entry(id.to_owned()).or_default();
        }
    }

    /// Looks at the signs of the others, and answers those that were silent for too long.
    pub(super) fn silent(&mut self, notes: &[Note], now_ms: u64) -> Vec<String> {
        let mut silent = Vec::new();
        for (id, sign) in &mut self.others {
            let note = notes
                .iter()
                .find(|note| note.name.strip_prefix(PREFIX) == Some(id));
            let content = note.map(|note| note.content.clone());
            if sign.since_ms.is_none() || content != sign.content {
                *sign = Sign {
                    content,
                    since_ms: Some(now_ms),
                };
            }
            let silent_ms = now_ms - sign.since_ms.unwrap_or(now_ms);
            if silent_ms >= self.ttl_ms {
                silent.push(id.clone());
            }
        }
        self.others.retain(|id, _| !silent.contains(id));
        silent
    }

    /// The note that a keeper showed its life by, deleted.
    pub(super) fn deleted(id: &str) -> Note {
        Note {
            name: format!("{PREFIX}{id}"),
            content: Vec::new(),
        }
    }

    /// Adopts the leases of a keeper, and those that it had adopted; forgets keepers that no lease names any more.
    pub(super) fn adopt(&self, view: &View, id: &str) -> Vec<Action> {
        let known = view.keepers().find(|(keeper, _)| keeper.id == id);
        let modified = known.map_or(Revision::ZERO, |(_, modified)| modified);
        let adopted = view.keepers().filter(|(keeper, _)| keeper.adopted_by == id);
        let all = adopted.map(|(keeper, modified)| (keeper.id.as_str(), modified));
        let mut actions = Vec::new();
        for (id, modified) in all.chain([(id, modified)]) {
            let expect = Expect::At(modified);
            let id = id.to_owned();
            if is_named(view, &id) {
                tracing::warn!(
                    keeper = id,
                    "a keeper of leases is gone: its leases are adopted"
                );
                let adopted_by = self.own_id.to_string();
                let keeper = KeeperEntry { id, adopted_by };
                actions.push(Action::PutKeeper { keeper, expect });
            } else if modified != Revision::ZERO {
                actions.push(Action::ForgetKeeper { id, expect });
            }
        }
        actions
    }
}

fn is_named(view: &View, id: &str) -> bool {
    view.instances_after(None)
        .any(|instance| instance.entry().keeper == id)
}

fn new_id() -> Arc<str> {
    TransactionId::fresh().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{adopted, view};
    use super::*;
    use crate::model::InstanceSpec;
    use crate::record::Record;
    use crate::time::Timestamp;

    fn sign(id: &str, content: u8) -> Note {
        Note {
            name: format!("keeper/{id}"),
            content: vec![content],
        }
    }

    fn keepers() -> Keepers {
        Keepers::new(&LeaseConfig::default())
    }

    fn kept_by(keeper: &str, id: &str) -> Record {
        let entry = InstanceSpec::new("api", id, "10.0.0.7", 80);
        let mut entry = entry.start(1, Revision(1), Timestamp::default());
        keeper.clone_into(&mut entry.keeper);
        Record::Instance(entry)
    }

    #[test]
    fn keeper_of_nothing_shows_no_life() {
        let mut keepers = keepers();
        assert!(keepers.is_idle() && !keepers.has_others());
        assert!(!keepers.is_due(1_000_000));
        assert!(keepers.beat(0).is_none() && keepers.end().is_none());
        keepers.meet(&[sign(&keepers.own_id(), 1)]);
        assert!(keepers.is_idle(), "it does not watch itself");
        keepers.meet(&[sign("other", 1)]);
        assert!(!keepers.is_idle() && keepers.has_others());
        assert!(keepers.is_due(1_000_000));
        keepers.follow(&View::default());
        assert!(keepers.has_others(), "nobody adopted it");
    }

    #[test]
    fn signs_of_life_differ_and_come_five_times_a_ttl() {
        let mut keepers = keepers();
        let own = keepers.own_id();
        assert!(keepers.is_ours(&View::default(), &own));
        let first = keepers.beat(0).unwrap();
        assert!(!keepers.is_due(999));
        assert!(keepers.is_due(1000));
        assert_ne!(keepers.beat(1000).unwrap(), first);
    }

    #[test]
    fn each_keeper_is_silent_by_its_own_sign() {
        let mut keepers = keepers();
        let signs = |a, b| [sign("a", a), sign("b", b)];
        keepers.meet(&signs(1, 1));
        assert!(keepers.silent(&signs(1, 1), 0).is_empty());
        assert!(keepers.silent(&signs(2, 1), 4999).is_empty());
        assert_eq!(keepers.silent(&signs(2, 1), 5000), ["b"]);
        assert_eq!(keepers.silent(&signs(2, 1), 9999), ["a"]);
        assert!(!keepers.has_others());
    }

    #[test]
    fn leases_are_adopted_from_whom_they_name() {
        let keepers = keepers();
        let own = keepers.own_id().to_string();
        // The leases of "first" were adopted by "second", which has some of its own; "none" had some once.
        let view = view(vec![
            kept_by("first", "a"),
            kept_by("second", "b"),
            kept_by("third", "c"),
            adopted("first", "second"),
            adopted("none", "second"),
            adopted("other", "third"),
        ]);
        let told = |actions: Vec<Action>| -> Vec<String> {
            let told = actions.into_iter().map(|action| match action {
                Action::PutKeeper { keeper, expect } => {
                    assert_eq!(keeper.adopted_by, own);
                    format!("{} {expect:?}", keeper.id)
                }
                Action::ForgetKeeper { id, expect } => format!("forget {id} {expect:?}"),
                other => format!("{other:?}"),
            });
            told.collect()
        };
        let at = |revision| format!("{:?}", Expect::At(Revision(revision)));
        let expected = [
            format!("first {}", at(4)),
            format!("forget none {}", at(5)),
            format!("second {}", at(0)),
        ];
        assert_eq!(told(keepers.adopt(&view, "second")), expected);
        // One that was adopted before, and that no lease names, is forgotten; one that nothing is known of is no matter.
        assert_eq!(
            told(keepers.adopt(&view, "other")),
            [format!("forget other {}", at(6))]
        );
        assert!(keepers.adopt(&view, "unknown").is_empty());
    }
}
