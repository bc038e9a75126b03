//! Lists that are read page by page from one snapshot.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use super::error::RegistryError;
use super::filter::Filter;
use super::instance::Instance;
use super::instance_filter::InstanceFilter;
use super::view::{Service, View};
use crate::limits::PAGE_BYTES_MAX;
use crate::model::{ModelError, Name};
use crate::revision::Revision;

/// Most services in one page.
pub const LIST_PAGE_MAX: usize = 1000;

/// The next services of a list: at most `limit`, fewer where they are large, so that a page has a bound in bytes, too.
pub fn take_page(
    found: &mut dyn Iterator<Item = &Arc<Service>>,
    limit: usize,
) -> Vec<Arc<Service>> {
    let mut services = Vec::new();
    let mut bytes = 0;
    while has_room(services.len(), bytes, limit) {
        let Some(service) = found.next() else { break };
        bytes += service.record().image.body_bytes();
        services.push(Arc::clone(service));
    }
    services
}

/// Whether a page has room for one more.
fn has_room(count: usize, bytes: usize, limit: usize) -> bool {
    count < limit && bytes < PAGE_BYTES_MAX
}

/// The next instances of a list; as [`take_page`].
pub fn take_instances(
    found: &mut dyn Iterator<Item = &Arc<Instance>>,
    limit: usize,
) -> Vec<Arc<Instance>> {
    let mut instances = Vec::new();
    let mut bytes = 0;
    while has_room(instances.len(), bytes, limit) {
        let Some(instance) = found.next() else { break };
        bytes += instance.record().image.body_bytes();
        instances.push(Arc::clone(instance));
    }
    instances
}

/// A part of a list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Which services.
    pub filter: Filter,
    /// Where the last page ended; none begins a new list.
    pub cursor: Option<Cursor>,
    /// Most services, 1 to [`LIST_PAGE_MAX`]; none is the most.
    pub limit: Option<usize>,
}

/// Where a page ended: all pages of a list are read from the snapshot of the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The snapshot.
    pub revision: Revision,
    /// The last name of the page.
    pub after: Name,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.revision, self.after)
    }
}

impl FromStr for Cursor {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let error = || ModelError::new("cursor", "the cursor of a page", format!("{text:?}"));
        let (revision, after) = text.split_once('/').ok_or_else(error)?;
        let revision = revision.parse().map_err(|_| error())?;
        Ok(Self {
            revision,
            after: Name::new(after).map_err(|_| error())?,
        })
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// Services in the byte order of their names.
    pub services: Vec<Arc<Service>>,
    /// The snapshot that every page of the list reflects.
    pub revision: Revision,
    /// Where the next page begins; none where this is the last.
    pub next: Option<Cursor>,
}

/// A part of a list of instances.
#[derive(Debug, Clone, Default)]
pub struct InstancePageRequest {
    /// Which instances.
    pub filter: InstanceFilter,
    /// Where the last page ended; none begins a new list.
    pub cursor: Option<InstanceCursor>,
    /// Most instances, 1 to [`LIST_PAGE_MAX`]; none is the most.
    pub limit: Option<usize>,
    /// Answer from the snapshot at hand, which another process may have overtaken.
    pub stale: bool,
}

/// Where a page of instances ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceCursor {
    /// The snapshot.
    pub revision: Revision,
    /// The service of the last instance of the page.
    pub service: Name,
    /// Its id.
    pub id: Name,
}

impl fmt::Display for InstanceCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            revision,
            service,
            id,
        } = self;
        write!(f, "{revision}/{}/{service}{id}", service.len())
    }
}

impl FromStr for InstanceCursor {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let error = || ModelError::new("cursor", "the cursor of a page", format!("{text:?}"));
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or_else(error);
        let revision = part()?.parse().map_err(|_| error())?;
        let length: usize = part()?.parse().map_err(|_| error())?;
        let (service, id) = part()?.split_at_checked(length).ok_or_else(error)?;
        Ok(Self {
            revision,
            service: Name::new(service).map_err(|_| error())?,
            id: Name::new(id).map_err(|_| error())?,
        })
    }
}

/// One page of a list of instances.
#[derive(Debug, Clone)]
pub struct InstancePage {
    /// Instances in the byte order of service and id.
    pub instances: Vec<Arc<Instance>>,
    /// The snapshot that every page of the list reflects.
    pub revision: Revision,
    /// Where the next page begins; none where this is the last.
    pub next: Option<InstanceCursor>,
}

/// Snapshots of lists that are not read to the end yet. The oldest leaves a full set.
#[derive(Debug)]
pub(super) struct Pins {
    views_max: usize,
    views: Mutex<VecDeque<Arc<View>>>,
}

impl Pins {
    pub(super) fn new(views_max: usize) -> Self {
        Self {
            views_max,
            views: Mutex::default(),
        }
    }

    pub(super) fn find(&self, revision: Revision) -> Option<Arc<View>> {
        let views = self
            .views
            .lock()
            .expect("nothing panics while it holds the views");
        views
            .iter()
            .find(|view| view.revision() == revision)
            .cloned()
    }

    pub(super) fn pin(&self, view: &Arc<View>) {
        let mut views = self
            .views
            .lock()
            .expect("nothing panics while it holds the views");
        if views
            .iter()
            .any(|pinned| pinned.revision() == view.revision())
        {
            return;
        }
        views.push_back(Arc::clone(view));
        if views.len() > self.views_max {
            views.pop_front();
        }
    }

    /// Reads a page from a view, and keeps the view where there is more.
    pub(super) fn read(
        &self,
        view: &Arc<View>,
        request: &PageRequest,
    ) -> Result<Page, RegistryError> {
        let limit = page_limit(request.limit)?;
        let after = request.cursor.as_ref().map(|cursor| cursor.after.as_str());
        let mut found = view
            .services_after(after)
            .filter(|service| request.filter.matches(service.entry()));
        let services = take_page(&mut found, limit);
        let has_more = found.next().is_some();
        let last = services.last().filter(|_| has_more);
        let next = last.map(|last| Cursor {
            revision: view.revision(),
            after: last.name().clone(),
        });
        if next.is_some() {
            self.pin(view);
        }
        Ok(Page {
            services,
            revision: view.revision(),
            next,
        })
    }

    /// As [`read`](Self::read), of instances.
    pub(super) fn read_instances(
        &self,
        view: &Arc<View>,
        request: &InstancePageRequest,
    ) -> Result<InstancePage, RegistryError> {
        let limit = page_limit(request.limit)?;
        let after = request.cursor.as_ref();
        let after = after.map(|cursor| (cursor.service.as_str(), cursor.id.as_str()));
        let filter = &request.filter;
        let mut found = view
            .instances_from(filter.service.as_deref(), after)
            .filter(|instance| filter.matches(instance));
        let instances = take_instances(&mut found, limit);
        let has_more = found.next().is_some();
        let last = instances.last().filter(|_| has_more);
        let next = last.map(|last| InstanceCursor {
            revision: view.revision(),
            service: last.service().clone(),
            id: last.id().clone(),
        });
        if next.is_some() {
            self.pin(view);
        }
        Ok(InstancePage {
            instances,
            revision: view.revision(),
            next,
        })
    }
}

fn page_limit(asked: Option<usize>) -> Result<usize, RegistryError> {
    let limit = asked.unwrap_or(LIST_PAGE_MAX);
    check_limit(limit, LIST_PAGE_MAX)?;
    Ok(limit)
}

/// Checks what is asked for at most.
pub(super) fn check_limit(limit: usize, limit_max: usize) -> Result<(), ModelError> {
    if (1..=limit_max).contains(&limit) {
        return Ok(());
    }
    let expected = format!("1 to {limit_max}");
    Err(ModelError::new("limit", expected, limit.to_string()))
}
