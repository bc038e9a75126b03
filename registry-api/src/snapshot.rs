//! The whole state at one revision, page by page.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use registry_core::Revision;
use registry_core::engine::{Registry, RegistryError, View, take_instances, take_page};
use registry_core::model::{ModelError, Name, ServicePolicy};
use serde::{Deserialize, Serialize};

use crate::pages::{PageOf, Pages};
use crate::shown::{ShownInstance, ShownService};

/// Records in one page, where the caller names no number.
const PAGE_RECORDS: usize = 200;
/// Records that a caller may ask for in one page.
const PAGE_RECORDS_ALLOWED: RangeInclusive<usize> = 1..=1000;

/// A record of the state, tagged with its kind.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateRecord {
    /// A service.
    Service(ShownService),
    /// An instance.
    Instance(ShownInstance),
    /// The rules for the instances of a service.
    Policy(ServicePolicy),
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
    place: Place,
}

/// Some records as lines of JSON. A clone shares the text.
#[derive(Debug, Clone)]
pub struct Lines {
    /// Each record with a line feed behind it.
    pub text: Arc<[u8]>,
    /// Number of records.
    pub records: usize,
    /// Where the snapshot goes on.
    next: Place,
}

/// Behind which record a snapshot goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Services(Option<Name>),
    Instances(Option<(String, String)>),
    Policies(Option<String>),
    End,
}

/// The text that names a place between two pages.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SnapshotCursor(Revision, Place);

impl FromStr for SnapshotCursor {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        serde_json::from_str(text)
            .map_err(|_| ModelError::new("cursor", "the cursor of a page", format!("{text:?}")))
    }
}

impl Snapshot {
    /// Begins with the state that every acknowledged write is in.
    ///
    /// # Errors
    /// The failure to read the view.
    pub async fn begin(registry: &Registry) -> Result<Self, RegistryError> {
        Ok(Self {
            view: registry.view().await?,
            place: Place::Services(None),
        })
    }

    /// Goes on behind a page; without a cursor it begins, with a view that is kept for the next page.
    pub(crate) async fn go_on(
        registry: &Registry,
        cursor: Option<&str>,
    ) -> Result<Self, RegistryError> {
        let cursor: Option<SnapshotCursor> = cursor.map(str::parse).transpose()?;
        let (revision, place) = match cursor {
            Some(SnapshotCursor(revision, place)) => (Some(revision), place),
            None => (None, Place::Services(None)),
        };
        let view = registry.view_to_keep(revision).await?;
        Ok(Self { view, place })
    }

    /// The revision that it reflects: watch after it.
    pub fn revision(&self) -> Revision {
        self.view.revision()
    }

    /// The next records: services, instances, policies, each in the byte order of their keys; none after the last.
    pub fn next_page(&mut self) -> Option<Vec<StateRecord>> {
        self.page(PAGE_RECORDS)
    }

    /// As [`next_page`](Self::next_page), rendered, or as somebody else had it rendered before: pages of services are kept.
    /// `confirmations` were counted before this call.
    pub(crate) fn next_lines(&mut self, kept: &Pages<Lines>, confirmations: u64) -> Option<Lines> {
        // What else there is shows times that move without a count.
        let Place::Services(after) = &self.place else {
            return self.render();
        };
        let of = PageOf {
            revision: self.revision(),
            confirmations,
            after: after.clone(),
            limit: None,
        };
        if let Some(lines) = kept.find(&of) {
            self.place = lines.next.clone();
            return Some(lines);
        }
        let lines = self.render()?;
        if matches!(lines.next, Place::Services(_)) {
            kept.keep(of, lines.clone(), lines.text.len());
        }
        Some(lines)
    }

    fn render(&mut self) -> Option<Lines> {
        let records = self.next_page()?;
        let mut text = Vec::new();
        for record in &records {
            serde_json::to_writer(&mut text, record)
                .expect("records have string keys and no failing parts");
            text.push(b'\n');
        }
        Some(Lines {
            text: text.into(),
            records: records.len(),
            next: self.place.clone(),
        })
    }

    /// One page for a caller that comes back with a cursor.
    pub(crate) fn answer(&mut self, limit: Option<usize>) -> Result<SnapshotPage, ModelError> {
        let limit = limit.unwrap_or(PAGE_RECORDS);
        if !PAGE_RECORDS_ALLOWED.contains(&limit) {
            return Err(ModelError::new("limit", "1 to 1000", limit.to_string()));
        }
        let records = self.page(limit).unwrap_or_default();
        let next_cursor = (self.place != Place::End).then(|| {
            let cursor = SnapshotCursor(self.revision(), self.place.clone());
            serde_json::to_string(&cursor).expect("a cursor has texts and numbers only")
        });
        Ok(SnapshotPage {
            revision: self.revision(),
            records,
            next_cursor,
        })
    }

    fn page(&mut self, limit: usize) -> Option<Vec<StateRecord>> {
        loop {
            let (records, next) = match &self.place {
                Place::Services(after) => self.services(after.as_deref(), limit),
                Place::Instances(after) => self.instances(after.as_ref(), limit),
                Place::Policies(after) => self.policies(after.as_deref(), limit),
                Place::End => return None,
            };
            self.place = next;
            if !records.is_empty() {
                return Some(records);
            }
        }
    }

    fn services(&self, after: Option<&str>, limit: usize) -> (Vec<StateRecord>, Place) {
        let page = take_page(&mut self.view.services_after(after), limit);
        let next = match page.last() {
            Some(last) => Place::Services(Some(last.name().clone())),
            None => Place::Instances(None),
        };
        let records = page.iter().map(ShownService::from);
        (records.map(StateRecord::Service).collect(), next)
    }

    fn instances(
        &self,
        after: Option<&(String, String)>,
        limit: usize,
    ) -> (Vec<StateRecord>, Place) {
        let after = after.map(|(service, id)| (service.as_str(), id.as_str()));
        let page = take_instances(&mut self.view.instances_after(after), limit);
        let next = match page.last() {
            Some(last) => {
                let name = |name: &Name| name.as_str().to_owned();
                Place::Instances(Some((name(last.service()), name(last.id()))))
            }
            None => Place::Policies(None),
        };
        let records = page.iter().map(ShownInstance::from);
        (records.map(StateRecord::Instance).collect(), next)
    }

    fn policies(&self, after: Option<&str>, limit: usize) -> (Vec<StateRecord>, Place) {
        let page: Vec<_> = self.view.policies_after(after).take(limit).collect();
        let next = match page.last() {
            Some(last) => Place::Policies(Some(last.service.clone())),
            None => Place::End,
        };
        let records = page.into_iter().cloned().map(StateRecord::Policy);
        (records.collect(), next)
    }
}
