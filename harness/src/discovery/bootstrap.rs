//! What an instance does when it starts.

use std::time::Duration;

use registry_api::{ErrorCode, InstanceInfo};
use registry_core::model::InstanceSpec;
use registry_core::{Clock as _, SystemClock, TransactionId};
use serde_json::{Value, json};

use super::registered::Registered;
use super::site::{Link, Site, read};
use crate::client::ClientError;

/// Beats within a lease.
const BEATS: u32 = 3;
/// Starts of the same instance that may register between two attempts of this one.
const STARTS_MAX: u32 = 8;

/// Registers an instance, and begins to keep it listed.
#[derive(Debug, Clone)]
pub struct ServiceBootstrap {
    site: Site,
    spec: InstanceSpec,
    incarnation: Option<u64>,
    interval: Option<Duration>,
}

impl ServiceBootstrap {
    /// An instance of a registry in this process, or of a daemon. An instance without an id gets a new one (UUID v7).
    pub fn new(registry: impl Into<Site>, mut spec: InstanceSpec) -> Self {
        if spec.instance_id.is_empty() {
            // Named here, so that a registration whose answer was lost can be sent again.
            spec.instance_id = TransactionId::fresh().to_string();
        }
        Self {
            site: registry.into(),
            spec,
            incarnation: None,
            interval: None,
        }
    }

    /// Which start of the instance this is, where it counts them itself. Without it this is the time in milliseconds, or
    /// the one after the latest start where that is higher.
    #[must_use]
    pub fn incarnation(mut self, incarnation: u64) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// Time between two heartbeats, a third of the lease where none is given, and at most half of it.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// The instance as it will register.
    pub fn spec(&self) -> &InstanceSpec {
        &self.spec
    }

    /// Registers the instance, in one attempt. The same call can be made again where it failed.
    ///
    /// # Errors
    /// [`ClientError`]: `StaleIncarnation` where a later start than the one given is registered.
    pub async fn register(&self) -> Result<Registered, ClientError> {
        let mut link = Link::new(self.site.clone());
        let instance = match self.incarnation {
            Some(incarnation) => register(&mut link, &self.spec, incarnation).await?,
            None => self.register_latest(&mut link).await?,
        };
        Ok(Registered::new(
            self.site.clone(),
            link,
            self.spec.clone(),
            instance,
            self.beats_every(),
        ))
    }

    /// Registers as the latest start of the instance.
    async fn register_latest(&self, link: &mut Link) -> Result<InstanceInfo, ClientError> {
        let millis = SystemClock::new().now().as_nanos() / 1_000_000;
        let mut incarnation = u64::try_from(millis).unwrap_or(1);
        let mut starts = 0;
        loop {
            match register(link, &self.spec, incarnation).await {
                Err(error)
                    if error.code() == Some(ErrorCode::StaleIncarnation) && starts < STARTS_MAX =>
                {
                    // The clock that counted the latest start was ahead of this one.
                    let known = look_up(link, &self.spec).await?;
                    incarnation = known.incarnation.saturating_add(1);
                    starts += 1;
                }
                registered => return registered,
            }
        }
    }

    fn beats_every(&self) -> Duration {
        let ttl = Duration::from(self.spec.lease_ttl);
        self.interval.unwrap_or(ttl / BEATS).min(ttl / 2)
    }
}

/// Registers a start of an instance.
pub(super) async fn register(
    link: &mut Link,
    spec: &InstanceSpec,
    incarnation: u64,
) -> Result<InstanceInfo, ClientError> {
    let params = json!({ "instance": spec, "incarnation": incarnation });
    let mut written: Value = link.call("register_instance", &params).await?;
    read(written["instance"].take())
}

/// What the registry knows of an instance.
pub(super) async fn look_up(
    link: &mut Link,
    spec: &InstanceSpec,
) -> Result<InstanceInfo, ClientError> {
    let params = json!({ "service": spec.service, "instance_id": spec.instance_id });
    read(link.call("get_instance", &params).await?)
}
