//! An instance that is registered.

use std::future::Future;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_io::Timer;
use futures_lite::future;
use registry_api::{ErrorCode, InstanceInfo};
use registry_core::model::InstanceSpec;
use serde_json::json;

use super::heartbeat::Keeping;
use super::site::{Link, Site};
use super::state::{LeaseState, Watched};
use crate::client::ClientError;

/// Time for a heartbeat that is under way to let go of the connection.
const HAND_OVER: Duration = Duration::from_secs(1);

/// An instance that is registered. Its lease lasts while the future of [`start_heartbeat`](Self::start_heartbeat) runs;
/// dropping this ends that future, and the lease lapses.
#[derive(Debug)]
#[must_use = "the heartbeat ends with this value"]
pub struct Registered {
    site: Site,
    spec: InstanceSpec,
    watched: Watched,
    interval: Duration,
    links: Links,
    /// Closed to end the heartbeat; nothing is ever sent.
    stop: Sender<()>,
    stopped: Receiver<()>,
}

/// The one way to the registry, which one user at a time takes.
#[derive(Debug, Clone)]
pub(super) struct Links {
    put: Sender<Link>,
    take: Receiver<Link>,
}

/// A link that is put back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    link: Option<Link>,
    put: Sender<Link>,
}

impl Links {
    fn new(link: Link) -> Self {
        let (put, take) = async_channel::bounded(1);
        let links = Self { put, take };
        drop(links.hold(link));
        links
    }

    fn hold(&self, link: Link) -> Taken {
        Taken {
            link: Some(link),
            put: self.put.clone(),
        }
    }

    /// Waits for the link.
    pub(super) async fn take(&self) -> Taken {
        let link = self.take.recv().await;
        self.hold(link.expect("both ends of the channel are held here"))
    }
}

impl Taken {
    pub(super) fn link(&mut self) -> &mut Link {
        self.link
            .as_mut()
            .expect("it is there until this is dropped")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            // There is room for the one that was taken; a second one is closed.
            drop(self.put.try_send(link));
        }
    }
}

impl Registered {
    pub(super) fn new(
        site: Site,
        link: Link,
        spec: InstanceSpec,
        instance: InstanceInfo,
        interval: Duration,
    ) -> Self {
        let (stop, stopped) = async_channel::bounded(1);
        Self {
            site,
            spec,
            watched: Watched::new(instance),
            interval,
            links: Links::new(link),
            stop,
            stopped,
        }
    }

    /// The instance as the registry answered it when it last registered.
    pub fn instance(&self) -> InstanceInfo {
        self.watched.instance()
    }

    /// How the lease stands.
    pub fn state(&self) -> LeaseState {
        self.watched.state()
    }

    /// Waits until the lease stands otherwise than `from`.
    pub async fn changed(&self, from: &LeaseState) -> LeaseState {
        self.watched.changed(from).await
    }

    /// Keeps the lease until it is lost, or until this value is dropped or [deregistered](Self::deregister); answers which.
    ///
    /// It beats at once and then at the interval. A connection that failed is made again after a while that grows to 5 s;
    /// a lease that lapsed meanwhile is taken again by the same incarnation.
    pub fn start_heartbeat(&self) -> impl Future<Output = LeaseState> + Send + use<> {
        let keeping = Keeping {
            is_here: self.site.is_here(),
            spec: self.spec.clone(),
            watched: self.watched.clone(),
            interval: self.interval,
        };
        let (links, stopped) = (self.links.clone(), self.stopped.clone());
        let watched = self.watched.clone();
        async move {
            let stop = async {
                // Nothing is sent: an error is the end.
                let _ = stopped.recv().await;
                LeaseState::Ended
            };
            let keep = async {
                let mut taken = links.take().await;
                keeping.run(taken.link()).await
            };
            let ended = future::or(stop, keep).await;
            watched.set(ended);
            watched.state()
        }
    }

    /// Ends the heartbeat and takes the instance off the list, for a reason that goes into the log.
    ///
    /// # Errors
    /// [`ClientError`] where the registry cannot be told; the lease lapses then. An instance that is gone already, or has a
    /// later start, is no error.
    pub async fn deregister(self, reason: &str) -> Result<(), ClientError> {
        self.stop.close();
        let waited = async {
            Timer::after(HAND_OVER).await;
            None
        };
        let taken = future::or(async { Some(self.links.take().await) }, waited).await;
        // A heartbeat that nobody runs any more keeps its link.
        let mut taken = taken.unwrap_or_else(|| self.links.hold(Link::new(self.site.clone())));
        let params = json!({
            "service": self.spec.service,
            "instance_id": self.spec.instance_id,
            "incarnation": self.watched.instance().incarnation,
            "reason": reason,
        });
        let link = taken.link();
        let mut answered = link.call("deregister_instance", &params).await;
        if answered.as_ref().is_err_and(ClientError::is_gone) {
            // The connection may have ended unnoticed.
            answered = link.call("deregister_instance", &params).await;
        }
        self.watched.set(LeaseState::Ended);
        match answered {
            Err(error)
                if !matches!(
                    error.code(),
                    Some(ErrorCode::NotFound | ErrorCode::StaleIncarnation)
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}
