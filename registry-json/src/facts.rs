//! The few facts of a store that are neither log nor state.

use std::path::Path;

use registry_core::{Anchor, ErrorKind, Result, SCHEMA, SchemaVersion, StoreError};
use serde::{Deserialize, Serialize};

use crate::error;
use crate::line::{read_only_line, replace_file, write_line};
use crate::schema::{FACTS_FORMAT, LAYOUT, facts_path};
use crate::store::BACKEND;

const TAG: &str = "facts";

/// What a folder is, and what is certain about its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    format: String,
    layout: u32,
    pub(crate) schema: SchemaVersion,
    /// False between the first page of a restore and its seal.
    pub(crate) is_sealed: bool,
    /// The last entry that compaction removed.
    pub(crate) compacted: Anchor,
    /// The end of the log at the last clean close: a log that ends before it was cut off.
    pub(crate) closed: Anchor,
}

impl Facts {
    /// Those of an empty store.
    pub(crate) fn fresh() -> Self {
        Self {
            format: FACTS_FORMAT.to_owned(),
            layout: LAYOUT,
            schema: SCHEMA,
            is_sealed: true,
            compacted: Anchor::default(),
            closed: Anchor::default(),
        }
    }

    /// Reads them, and checks that the store is one that this code may open.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = facts_path(folder);
        let facts: Self = read_only_line(TAG, &path)?;
        if facts.format != FACTS_FORMAT || facts.layout != LAYOUT {
            let detail = format!(
                "expected a store of harness, found {} of layout {}",
                facts.format, facts.layout
            );
            return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(&path));
        }
        if !facts.schema.is_readable() {
            let kind = ErrorKind::SchemaTooNew {
                found: facts.schema,
            };
            return Err(StoreError::new(kind, BACKEND, "open the store").at_path(&path));
        }
        if facts.is_sealed {
            Ok(facts)
        } else {
            Err(error::damaged(&path, "a restore was not finished"))
        }
    }

    /// Replaces them durably.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        replace_file(&facts_path(folder), &write_line(TAG, self))
    }
}
