//! Services by name, for all views of a registry together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;
use papaya::HashMap;

use super::view::Service;
use crate::model::Name;
use crate::revision::Revision;

/// The newest service of each name that was published. A view finds a service here in one or two places of memory, where
/// its order has some twenty names to compare that are far apart; a map of its own that it shares with the views before
/// it would copy a node of 32 counted references for each commit.
///
/// It is ahead of the views before the newest one, so that what it has may be too new for who asks: then the order tells.
///
/// Invariant: whatever a commit up to the revision of a published view did is here before that view can be seen.
#[derive(Debug, Default)]
pub(super) struct ByName {
    /// Hashed with seeds of this process: who may register names could make those of one place slow to find by trying for
    /// long, and a stronger hash is a tenth of each lookup.
    newest: HashMap<Name, Arc<Service>, RandomState>,
    /// The last commit that removed a service.
    removed: AtomicU64,
}

/// What there is of a name at a revision.
#[derive(Debug)]
pub(super) enum Found {
    /// This one.
    Service(Arc<Service>),
    /// None.
    Nothing,
    /// It changed since, or may have been removed since.
    Later,
}

impl ByName {
    /// The service of a name as of a revision. Constant; waits for nobody.
    pub(super) fn find(&self, name: &str, at: Revision) -> Found {
        let newest = self.newest.pin();
        match newest.get(name) {
            Some(service) if service.modified() <= at => Found::Service(Arc::clone(service)),
            Some(_) => Found::Later,
            // Set before the service is gone, so that who misses it sees this.
            None if self.removed.load(Ordering::Acquire) > at.0 => Found::Later,
            None => Found::Nothing,
        }
    }

    /// Makes room for so many services at once: a map that grows step by step moves each of them several times.
    pub(super) fn reserve(&self, services: usize) {
        self.newest.pin().reserve(services);
    }

    /// Takes over what became of some names, at a revision that is published next. Only one at a time.
    pub(super) fn follow(
        &self,
        changes: impl Iterator<Item = (Name, Option<Arc<Service>>)>,
        revision: Revision,
    ) {
        let newest = self.newest.pin();
        for (name, service) in changes {
            if let Some(service) = service {
                newest.insert(name, service);
            } else {
                self.removed.store(revision.0, Ordering::Release);
                newest.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::engine::View;
    use crate::key::Key;
    use crate::log::{Change, Commit};
    use crate::model::ServiceEntry;
    use crate::record::{Image, Record};
    use crate::time::Timestamp;
    use crate::transaction::{Cause, TransactionId};

    const NAMES: u64 = 7;

    fn name(number: u64) -> String {
        format!("api-{number}")
    }

    /// The view after a commit that puts a service, or removes it.
    fn after(view: &View, name: &str, is_removed: bool) -> View {
        let mut view = view.clone();
        let revision = view.revision().next();
        let key = Key::service(name).unwrap();
        let entry = ServiceEntry::new(name, revision.to_string());
        let after = (!is_removed).then(|| Image::new(Record::Service(entry)).unwrap());
        view.apply(&Commit {
            revision,
            id: TransactionId::fresh(),
            cause: Arc::new(Cause {
                actor: "test".to_owned(),
                action: "test".into(),
                reason: None,
                time: Timestamp::default(),
            }),
            changes: vec![Change {
                before: view.record(&key).map(|record| record.image),
                key,
                after,
            }],
        });
        view
    }

    /// Names are found as their order has them.
    fn check(view: &View) {
        for name in (0..=NAMES).map(name) {
            let listed = view
                .services_after(None)
                .find(|it| it.name().as_str() == name);
            let found = view.get(&name);
            let modified = |service: &Arc<Service>| service.modified();
            assert_eq!(
                found.as_ref().map(modified),
                listed.map(modified),
                "{name} at revision {}",
                view.revision()
            );
        }
    }

    #[test]
    fn every_view_finds_what_it_lists_before_and_after_later_ones_are_published() {
        let mut views = vec![View::default()];
        for step in 0..60 {
            let last = views.last().unwrap();
            let name = name(step * 5 % NAMES);
            let is_removed = step % 3 == 2 && last.get(&name).is_some();
            let mut next = after(last, &name, is_removed);
            check(&next);
            if step % 4 != 3 {
                next.index();
            }
            views.push(next);
            views.iter().for_each(check);
        }
    }

    #[test]
    fn what_is_never_published_is_found_by_nobody_else() {
        let mut view = after(&View::default(), "api-1", false);
        view.index();
        let refused = after(&after(&view, "api-2", false), "api-1", true);
        assert!(refused.get("api-1").is_none() && refused.get("api-2").is_some());
        drop(refused);
        let mut next = after(&view, "api-3", false);
        next.index();
        check(&view);
        check(&next);
        assert_eq!(next.len(), 2);
    }

    #[test]
    fn readers_find_what_they_list_while_others_are_published() {
        let newest = arc_swap::ArcSwap::from_pointee(View::default());
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Acquire) {
                        check(&newest.load_full());
                    }
                });
            }
            for step in 0..5000 {
                let last = newest.load_full();
                let name = name(step * 5 % NAMES);
                let is_removed = step % 3 == 2 && last.get(&name).is_some();
                let mut next = after(&last, &name, is_removed);
                next.index();
                newest.store(Arc::new(next));
            }
            is_done.store(true, Ordering::Release);
        });
    }
}
