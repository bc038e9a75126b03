//! The trees of a store, and the file of ours beside sled's.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `services` | bytes of a key | the record, `registry_core::codec::encode_value` |
//! | `log` | revision, big endian | one entry, `registry_core::codec::encode_log_value` |
//! | `log_keys` | bytes of a key, 0, revision of a commit that changed it | revision of the change of it before that one |
//! | `meta` | `head` | a fact with checksum |
//! | `notes` | name | content with checksum |
//! | `parts` | see `parts` | 4 KiB of a value of `services`, `log` or `notes` that is longer |
//!
//! A group, its state and the head after it are one transaction of sled. `harness.head` says what the folder is and
//! where the log began and ended at the last clean close: sled drops a damaged tail in silence, and a log that begins or
//! ends before that was cut off.
//!
//! Invariant: the head is that of the last entry in `log`; what lies in `log` and `log_keys` up to its anchor was
//! compacted and is on its way out.

use std::path::{Path, PathBuf};

use registry_core::codec::{decode_meta, encode_meta};
use registry_core::{Anchor, ErrorKind, Key, Result, Revision, SCHEMA, SchemaVersion, StoreError};
use serde::{Deserialize, Serialize};

use crate::disk::{read_file, replace_file};
use crate::error;
use crate::store::BACKEND;

/// Name of the fact that says what the state adds up to.
pub(crate) const HEAD: &str = "head";

const FORMAT: &str = "harness.sled";
/// 1, of no release, had smaller segments and no parts.
const LAYOUT: u32 = 2;
const STAMP: &str = "stamp";

/// The key of a log entry.
pub(crate) fn log_key(revision: Revision) -> [u8; 8] {
    revision.0.to_be_bytes()
}

/// What every place of a key in the index begins with. No key goes on with the byte 0 where another one of its kind ends:
/// names do not hold it, and keys of a kind have the same number of parts.
pub(crate) fn place_prefix(key: &Key) -> Vec<u8> {
    let mut bytes = key.to_bytes();
    bytes.push(0);
    bytes
}

/// The place of a change in the index.
pub(crate) fn place(key: &Key, revision: Revision) -> Vec<u8> {
    let mut bytes = place_prefix(key);
    bytes.extend(log_key(revision));
    bytes
}

/// The number at the end of a place, of a log key or in a value of the index.
pub(crate) fn revision_in(bytes: &[u8]) -> Option<Revision> {
    let number = bytes.last_chunk::<8>()?;
    Some(Revision(u64::from_be_bytes(*number)))
}

/// What a folder is, and where its log ended at the last clean close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    format: String,
    layout: u32,
    pub(crate) schema: SchemaVersion,
    /// False between the first page of a restore and its seal.
    pub(crate) is_sealed: bool,
    pub(crate) closed: Anchor,
    /// Where the log began at the last clean close. Layout 1 has none, and is to be refused by its layout.
    #[serde(default)]
    pub(crate) compacted: Anchor,
}

impl Stamp {
    /// That of an empty store.
    pub(crate) fn fresh() -> Self {
        Self {
            format: FORMAT.to_owned(),
            layout: LAYOUT,
            schema: SCHEMA,
            is_sealed: true,
            closed: Anchor::default(),
            compacted: Anchor::default(),
        }
    }

    /// Whether a folder claims to be a store.
    pub(crate) fn is_in(folder: &Path) -> bool {
        stamp_path(folder).is_file()
    }

    /// Reads it, and checks that the store is one that this code may open.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = stamp_path(folder);
        let bytes = read_file(&path)?;
        let stamp: Self = decode_meta(STAMP, &bytes)
            .map_err(|error| error::codec(&path, "read the stamp", error))?;
        if stamp.format != FORMAT || stamp.layout != LAYOUT {
            let detail = format!(
                "expected {FORMAT} of layout {LAYOUT}, found {} of layout {}",
                stamp.format, stamp.layout
            );
            return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(&path));
        }
        if !stamp.schema.is_readable() {
            let kind = ErrorKind::SchemaTooNew {
                found: stamp.schema,
            };
            return Err(StoreError::new(kind, BACKEND, "open the store").at_path(&path));
        }
        if stamp.is_sealed {
            Ok(stamp)
        } else {
            Err(error::damaged(folder, "a restore was not finished"))
        }
    }

    /// Replaces it durably.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        replace_file(&stamp_path(folder), &encode_meta(STAMP, self))
    }
}

fn stamp_path(folder: &Path) -> PathBuf {
    folder.join("harness.head")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_of_another_layout_is_refused() {
        for layout in [LAYOUT - 1, LAYOUT + 1] {
            let folder = tempfile::tempdir().unwrap();
            let mut other = Stamp::fresh();
            other.layout = layout;
            other.write(folder.path()).unwrap();
            let error = Stamp::read(folder.path()).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
        }
    }
}
