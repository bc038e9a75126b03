//! The whole state at one revision, page by page.

use std::sync::Arc;

use registry_core::Revision;
use registry_core::engine::{Registry, Service, View, take_page};
use serde::Serialize;

use crate::answer::ServiceInfo;

/// Records in one page, where the caller names no number.
const PAGE_RECORDS: usize = 200;

/// A record of the state, tagged with its kind.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateRecord {
    /// A service.
    Service(ServiceInfo),
}

/// One page of the state.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotPage {
    /// The revision that every page reflects.
    pub(crate) revision: Revision,
    pub(crate) records: Vec<StateRecord>,
    /// Where the next page begins; none where this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// Reads the state of one revision to its end. It keeps that revision's view alive, and nothing else.
#[derive(Debug)]
pub struct Snapshot {
    view: Arc<View>,
    after: Option<Arc<Service>>,
    has_ended: bool,
}

impl Snapshot {
    /// Begins with the state that every acknowledged write is in.
    ///
    /// # Errors
    /// The failure to read the view.
    pub async fn begin(registry: &Registry) -> Result<Self, registry_core::engine::RegistryError> {
        Ok(Self {
            view: registry.view().await?,
            after: None,
            has_ended: false,
        })
    }

    /// The revision that it reflects: watch after it.
    pub fn revision(&self) -> Revision {
        self.view.revision()
    }

    /// Number of records that it tells.
    pub fn records(&self) -> u64 {
        self.view.len() as u64
    }

    /// The next records, in the byte order of their keys; none after the last.
    pub fn next_page(&mut self) -> Option<Vec<StateRecord>> {
        if self.has_ended {
            return None;
        }
        let after = self.after.as_ref().map(|service| service.name().as_str());
        let page = take_page(&mut self.view.services_after(after), PAGE_RECORDS);
        let Some(last) = page.last().cloned() else {
            self.has_ended = true;
            return None;
        };
        let records = page
            .iter()
            .map(|service| StateRecord::Service(ServiceInfo::from(&**service)))
            .collect();
        self.after = Some(last);
        Some(records)
    }
}
