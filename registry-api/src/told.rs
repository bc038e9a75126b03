//! What commits tell, rendered once for all who watch.

use std::sync::Arc;

use registry_core::engine::Event;
use registry_core::{Commit, Revision};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::value::RawValue;

use crate::event::event_data;
use crate::places::Places;

/// Commits that are kept rendered: watchers that keep up are hardly ever further apart.
const COMMITS_KEPT: usize = 512;
/// Bytes of one commit that are kept; a larger one is rendered for each watcher.
const COMMIT_BYTES_MAX: usize = 16 * 1024;

/// JSON text that many share. A clone costs a reference count.
#[derive(Debug, Clone)]
pub struct SharedJson(Arc<str>);

impl SharedJson {
    /// A text that was put together of JSON, and is JSON.
    pub(crate) fn of_text(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl From<Box<RawValue>> for SharedJson {
    fn from(value: Box<RawValue>) -> Self {
        Self(Box::<str>::from(value).into())
    }
}

impl AsRef<[u8]> for SharedJson {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The same text.
impl PartialEq for SharedJson {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// Reads the text once more: `serde_json` passes on as it is only what it has read. What is told often is put together
/// by hand.
impl Serialize for SharedJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(&self.0).map_err(ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

/// What one commit tells.
#[derive(Debug)]
pub(crate) struct Told {
    revision: Revision,
    /// Each event with its data, in their order.
    pub(crate) events: Vec<(Event, SharedJson)>,
}

impl Told {
    fn of(commit: &Commit) -> Self {
        let events = Event::of(commit).filter_map(|event| {
            let data = event_data(&event)?;
            Some((event, data.into()))
        });
        Self {
            revision: commit.revision,
            events: events.collect(),
        }
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|(_, data)| data.get().len()).sum()
    }
}

/// The last commits of one registry, rendered. Of those that share a place the latest is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept(Places<Arc<Told>, COMMITS_KEPT>);

impl Kept {
    /// What a commit tells: one evaluation and one serialisation, however many ask.
    pub(crate) fn tell(&self, commit: &Commit) -> Arc<Told> {
        let mut kept = self.0.lock(commit.revision.0);
        if let Some(told) = kept
            .as_ref()
            .filter(|told| told.revision == commit.revision)
        {
            return Arc::clone(told);
        }
        let told = Arc::new(Told::of(commit));
        let is_later = kept
            .as_ref()
            .is_none_or(|kept| kept.revision < told.revision);
        if is_later && told.bytes() <= COMMIT_BYTES_MAX {
            *kept = Some(Arc::clone(&told));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use registry_core::model::ServiceEntry;
    use registry_core::{Cause, Change, Image, Record, Timestamp, TransactionId};

    use super::*;

    fn commit(revision: u64, dependencies_bytes: usize) -> Commit {
        let mut entry = ServiceEntry::new("api", "v");
        entry.depends_on = vec!["d".repeat(200); dependencies_bytes / 200];
        let image = Image::new(Record::Service(entry)).unwrap();
        Commit {
            revision: Revision(revision),
            id: TransactionId::fresh(),
            cause: Cause {
                actor: "test".into(),
                action: "register_service".into(),
                reason: None,
                time: Timestamp::from_nanos(0),
            }
            .into(),
            changes: vec![Change {
                key: image.key().clone(),
                before: None,
                after: Some(image),
            }],
        }
    }

    #[test]
    fn watchers_share_one_rendering() {
        let (kept, commit) = (Kept::default(), commit(7, 0));
        let (one, other) = (kept.tell(&commit), kept.tell(&commit));
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(one.events.len(), 1);
        assert!(one.events[0].1.get().contains(r#""revision":7"#));
    }

    #[test]
    fn a_place_is_kept_for_the_later_of_two() {
        let kept = Kept::default();
        let later = commit(COMMITS_KEPT as u64 + 7, 0);
        let told = kept.tell(&later);
        assert_eq!(kept.tell(&commit(7, 0)).revision, Revision(7));
        assert!(Arc::ptr_eq(&told, &kept.tell(&later)));
    }

    #[test]
    fn a_large_commit_is_told_and_not_kept() {
        let (kept, commit) = (Kept::default(), commit(1, 2 * COMMIT_BYTES_MAX));
        let (one, other) = (kept.tell(&commit), kept.tell(&commit));
        assert!(!Arc::ptr_eq(&one, &other));
        assert_eq!(one.events[0].1.get(), other.events[0].1.get());
    }
}
