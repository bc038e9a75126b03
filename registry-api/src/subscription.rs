//! Subscriptions: a snapshot, then every change, filtered, in order.

use std::collections::VecDeque;
use std::str::FromStr as _;
use std::sync::Arc;

use registry_core::engine::{
    Event, EventKind, Filter, Registry, Service, View, Watch, WatchEnd, take_page,
};
use registry_core::{Clock, Commit, Revision};
use serde_json::value::RawValue;

use crate::answer::ServiceInfo;
use crate::error::{ErrorCode, ErrorInfo};
use crate::event::{
    COMPACTED, Compacted, LAGGED, Lagged, Loaded, REGISTRY_LOADED, event_data, raw,
};
use crate::message::{EventMessage, EventType};
use crate::params::SubscribeParams;

/// Services in one page of the snapshot.
const SNAPSHOT_PAGE_SERVICES: usize = 200;

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
    ready: VecDeque<EventMessage>,
    has_ended: bool,
}

#[derive(Debug)]
struct Snapshot {
    view: Arc<View>,
    after: Option<Arc<Service>>,
}

impl Subscription {
    /// Begins with a snapshot, or after the revision to resume from.
    ///
    /// # Errors
    /// `BadRequest` for an event that there is not; the failure to read the view.
    pub async fn begin(
        registry: &Registry,
        id: String,
        params: SubscribeParams,
    ) -> Result<Self, ErrorInfo> {
        let now = registry.clock().now();
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
        let snapshot = has_snapshot.then_some(Snapshot { view, after: None });
        Ok(Self {
            clock: Arc::clone(registry.clock()),
            id,
            events,
            sends_snapshot: has_snapshot,
            filter,
            snapshot,
            watch,
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

    fn message(&self, event: &str, complete: bool, data: Box<RawValue>) -> EventMessage {
        EventMessage {
            message_type: EventType::Event,
            event: event.to_owned(),
            subscription: self.id.clone(),
            complete,
            data,
        }
    }

    fn snapshot_page(&mut self) -> Option<EventMessage> {
        let Snapshot { view, after } = self.snapshot.take()?;
        let revision = view.revision();
        let mut found = view
            .services_after(after.as_ref().map(|service| service.name().as_str()))
            .filter(|service| self.filter.matches(service.entry()));
        let page = take_page(&mut found, SNAPSHOT_PAGE_SERVICES);
        let complete = found.next().is_none();
        drop(found);
        let services = page
            .iter()
            .map(|service| ServiceInfo::from(&**service))
            .collect();
        let loaded = Loaded {
            revision,
            services,
            complete,
        };
        if !complete {
            self.snapshot = Some(Snapshot {
                after: page.last().cloned(),
                view,
            });
        }
        Some(self.message(REGISTRY_LOADED, complete, raw(&loaded)))
    }

    fn tell(&mut self, commit: &Commit) {
        for event in Event::of(commit) {
            let is_asked = self
                .events
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&event.kind));
            if !is_asked || !event.matches(&self.filter) {
                continue;
            }
            if let Some(data) = event_data(&event) {
                self.ready
                    .push_back(self.message(event.kind.as_str(), false, data));
            }
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
                self.message(LAGGED, true, raw(&data))
            }
            WatchEnd::Compacted { after, oldest } => self.message(
                COMPACTED,
                true,
                raw(&Compacted {
                    revision: *after,
                    oldest: *oldest,
                }),
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
