//! Subscriptions: a snapshot, then every change, filtered, in order.

use std::collections::VecDeque;
use std::str::FromStr as _;
use std::sync::Arc;

use crate::api::Api;
use crate::error::{ErrorCode, ErrorInfo};
use crate::event::{COMPACTED, Compacted, LAGGED, Lagged, Loaded, REGISTRY_LOADED, raw};
use crate::message::{EventMessage, EventType};
use crate::params::SubscribeParams;
use crate::shown::{ShownInstance, ShownService};
use crate::told::{Kept, SharedJson};
use registry_core::engine::{
    EventKind, Filter, Instance, Service, View, Watch, WatchEnd, take_instances, take_page,
};
use registry_core::{Clock, Commit, Revision};

/// Services or instances in one page of the snapshot.
const SNAPSHOT_PAGE: usize = 200;

/// The services and the instances of a page of the snapshot, and where the next one begins.
type SnapshotPage = (Vec<ShownService>, Vec<ShownInstance>, Option<Place>);

/// What a subscriber is told, message by message.
#[derive(Debug)]
pub struct Subscription {
    clock: Arc<dyn Clock>,
    id: String,
    events: Option<Vec<EventKind>>,
    sends_snapshot: bool,
    filter: Filter,
    snapshot: Option<Snapshot>,
    watch: Watch,
    told: Arc<Kept>,
    ready: VecDeque<EventMessage>,
    has_ended: bool,
}

#[derive(Debug)]
struct Snapshot {
    view: Arc<View>,
    place: Place,
    has_instances: bool,
}

/// Where the next page of a snapshot begins.
#[derive(Debug)]
enum Place {
    Services(Option<Arc<Service>>),
    Instances(Option<Arc<Instance>>),
}

impl Subscription {
    /// Begins with a snapshot, or after the revision to resume from.
    ///
    /// # Errors
    /// `BadRequest` for an event that there is not; the failure to read the view.
    pub async fn begin(api: &Api, id: String, params: SubscribeParams) -> Result<Self, ErrorInfo> {
        let (registry, now) = (api.registry(), api.now());
        let view = registry
            .view()
            .await
            .map_err(|error| ErrorInfo::of(&error, now))?;
        let SubscribeParams {
            events,
            filter,
            resume_after,
        } = params;
        let (events, sends_snapshot) = match events {
            None => (None, true),
            Some(names) => {
                let (loaded, changes): (Vec<_>, Vec<_>) =
                    names.into_iter().partition(|name| name == REGISTRY_LOADED);
                let kinds: Result<Vec<_>, _> = changes
                    .iter()
                    // The two ends of a subscription are always told.
                    .filter(|name| !matches!(name.as_str(), LAGGED | COMPACTED))
                    .map(|name| EventKind::from_str(name))
                    .collect();
                let kinds = kinds.map_err(|error| {
                    ErrorInfo::new(ErrorCode::BadRequest, format!("events: {error}"), now)
                })?;
                (Some(kinds), !loaded.is_empty())
            }
        };
        let watch = registry.watch(resume_after.unwrap_or(view.revision()));
        let has_snapshot = sends_snapshot && resume_after.is_none();
        let is_of_instances = |kind: &EventKind| kind.as_str().starts_with("instance_");
        let snapshot = has_snapshot.then_some(Snapshot {
            view,
            place: Place::Services(None),
            // Who asks for events of services alone needs none.
            has_instances: events
                .as_ref()
                .is_none_or(|kinds: &Vec<_>| kinds.is_empty() || kinds.iter().any(is_of_instances)),
        });
        Ok(Self {
            clock: Arc::clone(registry.clock()),
            id,
            events,
            sends_snapshot: has_snapshot,
            filter,
            snapshot,
            watch,
            told: Arc::clone(api.told()),
            ready: VecDeque::new(),
            has_ended: false,
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it begins with a snapshot.
    pub fn begins_with_snapshot(&self) -> bool {
        self.sends_snapshot
    }

    /// The revision that everything told so far adds up to.
    pub fn position(&self) -> Revision {
        self.watch.position()
    }

    /// The next message; none after the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The failure that ended it; being too slow or too late is told by a message instead.
    pub async fn next(&mut self) -> Result<Option<EventMessage>, ErrorInfo> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            if self.has_ended {
                return Ok(None);
            }
            if let Some(page) = self.snapshot_page() {
                return Ok(Some(page));
            }
            match self.watch.next().await {
                Ok(commit) => self.tell(&commit),
                Err(end) => self.end(&end)?,
            }
        }
    }

    fn message(&self, event: &'static str, complete: bool, data: SharedJson) -> EventMessage {
        EventMessage {
            message_type: EventType::Event,
            event: event.into(),
            subscription: self.id.clone(),
            complete,
            data,
        }
    }

    fn snapshot_page(&mut self) -> Option<EventMessage> {
        let Snapshot {
            view,
            place,
            has_instances,
        } = self.snapshot.take()?;
        let (services, instances, next) = match place {
            Place::Services(after) => self.services_page(&view, after.as_ref(), has_instances),
            Place::Instances(after) => self.instances_page(&view, after.as_ref()),
        };
        let loaded = Loaded {
            revision: view.revision(),
            services,
            instances,
            complete: next.is_none(),
        };
        if let Some(place) = next {
            self.snapshot = Some(Snapshot {
                view,
                place,
                has_instances,
            });
        }
        Some(self.message(REGISTRY_LOADED, loaded.complete, raw(&loaded).into()))
    }

    fn services_page(
        &self,
        view: &View,
        after: Option<&Arc<Service>>,
        has_instances: bool,
    ) -> SnapshotPage {
        let after = after.map(|service| service.name().as_str());
        let mut found = view
            .services_after(after)
            .filter(|service| self.filter.matches(service.entry()));
        let page = take_page(&mut found, SNAPSHOT_PAGE);
        let next = if found.next().is_some() {
            Some(Place::Services(page.last().cloned()))
        } else {
            (has_instances && self.instances(view, None).next().is_some())
                .then_some(Place::Instances(None))
        };
        let services = page.iter().map(ShownService::from);
        (services.collect(), Vec::new(), next)
    }

    fn instances_page(&self, view: &View, after: Option<&Arc<Instance>>) -> SnapshotPage {
        let mut found = self.instances(view, after);
        let page = take_instances(&mut found, SNAPSHOT_PAGE);
        let next = found.next().is_some();
        let next = next.then(|| Place::Instances(page.last().cloned()));
        let instances = page.iter().map(ShownInstance::from);
        (Vec::new(), instances.collect(), next)
    }

    /// Instances that the subscription is about, those after one where one is given.
    fn instances<'a>(
        &'a self,
        view: &'a View,
        after: Option<&Arc<Instance>>,
    ) -> impl Iterator<Item = &'a Arc<Instance>> + use<'a> {
        let after = after.map(|instance| (instance.service().as_str(), instance.id().as_str()));
        view.instances_after(after).filter(|instance| {
            let record = instance.record().image.record();
            !instance.entry().is_stopped() && self.filter.matches_record(record)
        })
    }

    fn tell(&mut self, commit: &Commit) {
        for (event, data) in &self.told.tell(commit).events {
            let is_asked = self
                .events
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&event.kind));
            if !is_asked || !event.matches(&self.filter) {
                continue;
            }
            self.ready
                .push_back(self.message(event.kind.as_str(), false, data.clone()));
        }
        if let Some(last) = self.ready.back_mut() {
            last.complete = true;
        }
    }

    fn end(&mut self, end: &WatchEnd) -> Result<(), ErrorInfo> {
        self.has_ended = true;
        let message = match end {
            WatchEnd::Lagged { resume_after } => {
                let data = Lagged {
                    revision: *resume_after,
                    resume_after: *resume_after,
                };
                self.message(LAGGED, true, raw(&data).into())
            }
            WatchEnd::Compacted { after, oldest } => self.message(
                COMPACTED,
                true,
                raw(&Compacted {
                    revision: *after,
                    oldest: *oldest,
                })
                .into(),
            ),
            WatchEnd::Closed => return Ok(()),
            end => {
                return Err(ErrorInfo::of_watch(end, self.clock.now()));
            }
        };
        self.ready.push_back(message);
        Ok(())
    }
}
