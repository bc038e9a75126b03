//! Keeps one lease.

use std::time::Duration;

use async_io::Timer;
use futures_lite::future;
use registry_api::ErrorCode;
use registry_core::model::InstanceSpec;
use serde_json::json;

use super::bootstrap::{look_up, register};
use super::site::Link;
use super::state::{LeaseState, Watched};
use crate::client::{Backoff, ClientError};

/// Bounds of the time for a call.
const CALL_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// What it takes to keep a lease.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) is_here: bool,
    pub(super) spec: InstanceSpec,
    pub(super) watched: Watched,
    pub(super) interval: Duration,
}

/// Why a lease was not renewed.
enum Failure {
    /// Another attempt can succeed.
    Passing(String),
    /// None can.
    Final(String),
}

impl Keeping {
    /// Beats until the lease is lost, and answers that.
    pub(super) async fn run(&self, link: &mut Link) -> LeaseState {
        let mut backoff = Backoff::up_to(self.interval);
        loop {
            let timeout = self.interval.clamp(CALL_TIMEOUT_MIN, CALL_TIMEOUT_MAX);
            let late = async {
                Timer::after(timeout).await;
                Err(Failure::Passing(format!(
                    "no answer within {} s",
                    timeout.as_secs_f64()
                )))
            };
            match future::or(self.renew(link), late).await {
                Ok(()) => {
                    backoff.reset();
                    self.watched.set(LeaseState::Held);
                    self.wait(link, self.interval).await;
                }
                Err(Failure::Final(reason)) => return LeaseState::Lost { reason },
                Err(Failure::Passing(problem)) => {
                    let wait = backoff.wait();
                    let attempts = backoff.attempts();
                    tracing::warn!(%problem, attempts, "a lease could not be renewed; it is tried again");
                    self.watched.set(LeaseState::Retrying { attempts, problem });
                    Timer::after(wait).await;
                }
            }
        }
    }

    /// Waits for the next beat, or for the end of the connection: the daemon may have forgotten the lease.
    async fn wait(&self, link: &mut Link, wait: Duration) {
        let waited = async {
            Timer::after(wait).await;
        };
        let ended = async {
            let problem = link.end().await;
            tracing::debug!(%problem, "the connection ended");
            // A daemon that closes every connection is not asked without a pause.
            Timer::after(Backoff::FIRST).await;
        };
        future::or(waited, ended).await;
    }

    async fn renew(&self, link: &mut Link) -> Result<(), Failure> {
        let params = json!({
            "service": self.spec.service,
            "instance_id": self.spec.instance_id,
            "incarnation": self.watched.instance().incarnation,
        });
        match link.call("heartbeat", &params).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(ErrorCode::NoLease) => self.take_again(link).await,
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Registers the same incarnation again.
    async fn take_again(&self, link: &mut Link) -> Result<(), Failure> {
        let own = self.watched.instance().incarnation;
        let mut taken = register(link, &self.spec, own).await;
        if taken.as_ref().err().and_then(ClientError::code) == Some(ErrorCode::StaleIncarnation) {
            let known = look_up(link, &self.spec).await;
            let known = known.map_err(|error| self.failure(&error))?;
            if known.incarnation > own {
                let later = known.incarnation;
                let reason = format!("a later start of the instance, {later}, is registered");
                return Err(Failure::Final(reason));
            }
            if known.expired_at.is_none() {
                return Err(Failure::Final("it was deregistered".to_owned()));
            }
            // It was away for so long that it was taken off the list: only a later start comes back from there.
            taken = register(link, &self.spec, own.saturating_add(1)).await;
        }
        let instance = taken.map_err(|error| self.failure(&error))?;
        tracing::info!(service = %instance.service, instance_id = %instance.instance_id, "registered again");
        self.watched.set_instance(instance);
        Ok(())
    }

    fn failure(&self, error: &ClientError) -> Failure {
        let text = error.to_string();
        match error.code() {
            Some(ErrorCode::StaleIncarnation) => Failure::Final(text),
            // A registry in this process does not come back.
            Some(ErrorCode::ShuttingDown) if self.is_here => Failure::Final(text),
            _ => Failure::Passing(text),
        }
    }
}
