//! The head: where the log ends, and what the state adds up to.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::{Hash, Hasher};
use crate::key::Kind;
use crate::log::LogEntry;
use crate::record::Versioned;
use crate::revision::Revision;

/// A place in the log: a revision and the hash of the entry with that revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Anchor {
    /// The revision; 0 is before the first entry.
    pub revision: Revision,
    /// The hash; zero for revision 0.
    pub hash: Hash,
}

/// Number of records by kind. A kind without records is not listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<Kind, u64>);

impl Counts {
    /// Records of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// Records of all kinds.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Kinds with records, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }

    fn add(&mut self, kind: Kind) {
        *self.0.entry(kind).or_default() += 1;
    }

    fn remove(&mut self, kind: Kind) {
        let count = self.of(kind).saturating_sub(1);
        if count == 0 {
            self.0.remove(&kind);
        } else {
            self.0.insert(kind, count);
        }
    }
}

/// A digest of a set of records that can be kept up to date record by record.
///
/// It is the sum modulo 2^128 of the first half of a SHA-256 hash over each record's key, revisions and hash. It finds
/// damage; it is no proof against somebody who can compute sums, which is what the chain is for.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SetDigest(u128);

impl SetDigest {
    fn of(record: &Versioned) -> u128 {
        let hash = Hasher::new("harness.state.1")
            .key(record.key())
            .number(record.created.0)
            .number(record.modified.0)
            .hash(record.image.hash())
            .finish();
        let mut half = [0; 16];
        half.copy_from_slice(&hash.0[..16]);
        u128::from_be_bytes(half)
    }
}

impl fmt::Display for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SetDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SetDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = if is_hex {
            u128::from_str_radix(&text, 16).ok()
        } else {
            None
        };
        number
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("expected a digest of 32 hexadecimal digits"))
    }
}

/// What a set of records adds up to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Records by kind.
    pub counts: Counts,
    /// Digest of all records.
    pub digest: SetDigest,
}

impl Tally {
    /// Counts a record in.
    pub fn add(&mut self, record: &Versioned) {
        self.counts.add(record.key().kind());
        self.digest.0 = self.digest.0.wrapping_add(SetDigest::of(record));
    }

    /// Counts a record out that was counted in before.
    pub fn remove(&mut self, record: &Versioned) {
        self.counts.remove(record.key().kind());
        self.digest.0 = self.digest.0.wrapping_sub(SetDigest::of(record));
    }

    /// Tells this tally from the one that was expected, in words for an error.
    ///
    /// # Errors
    /// The difference, where there is one.
    pub fn compare(&self, expected: &Self) -> Result<(), String> {
        if self.counts != expected.counts {
            return Err(format!(
                "expected records {:?}, found {:?}",
                expected.counts.0, self.counts.0
            ));
        }
        if self.digest != expected.digest {
            return Err(format!(
                "expected digest {} of the records, found {}",
                expected.digest, self.digest
            ));
        }
        Ok(())
    }
}

/// Where the log ends, where it begins, and what the state adds up to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// The last commit.
    pub last: Anchor,
    /// The last commit that compaction removed; revision 0 where nothing was.
    pub compacted: Anchor,
    /// What the records add up to.
    pub tally: Tally,
}

impl Head {
    /// The last commit's number.
    pub fn revision(&self) -> Revision {
        self.last.revision
    }

    /// Whether nothing was ever committed.
    pub fn is_empty(&self) -> bool {
        self.last.revision == Revision::ZERO
    }

    /// Checks that an entry is the next link of the chain after `last`, and moves `last` there.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn follow(&mut self, entry: &LogEntry) -> Result<(), String> {
        let found = entry.commit.revision;
        let expected = self.last.revision.next();
        if found != expected {
            return Err(format!(
                "expected the log entry of revision {expected}, found that of {found}"
            ));
        }
        if entry.previous != self.last.hash {
            return Err(format!(
                "log entry {found} follows hash {}, the entry before it has {}",
                entry.previous, self.last.hash
            ));
        }
        if !entry.is_intact() {
            return Err(format!(
                "the hash {} of log entry {found} is not that of its content",
                entry.hash
            ));
        }
        self.last = Anchor {
            revision: found,
            hash: entry.hash,
        };
        Ok(())
    }
}
