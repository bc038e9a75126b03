//! What can be asked of instances.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::choose::{Place, Strategy, choose};
use super::command::{Action, Context, Expect, InstanceAction, InstanceChange, Reply};
use super::error::RegistryError;
use super::explain::{Explanation, explain, is_eligible};
use super::instance::Instance;
use super::instance_filter::InstanceFilter;
use super::lease::{LeasePolicy, Renewal};
use super::page::{InstancePage, InstancePageRequest, check_limit};
use super::registry::Registry;
use super::view::View;
use crate::limits::HEARTBEATS_MAX;
use crate::model::{InstanceSpec, ModelError, Name};
use crate::revision::Revision;
use crate::transaction::TransactionId;

/// A sign of life of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// The service.
    pub service: &'a str,
    /// The instance's id.
    pub instance_id: &'a str,
    /// Which start of the instance beats; none is the one that is known.
    pub incarnation: Option<u64>,
}

/// Who wants to reach a service, and how it chooses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolveRequest {
    /// The service.
    pub service: String,
    /// Which of its instances.
    pub filter: InstanceFilter,
    /// How to choose.
    pub strategy: Strategy,
    /// Where the caller is.
    pub place: Place,
    /// Most instances; none is all.
    pub limit: Option<usize>,
}

/// The instances to try, in the order in which to try them.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The instances.
    pub instances: Vec<Arc<Instance>>,
    /// The snapshot that they were chosen from.
    pub revision: Revision,
}

impl Registry {
    /// Lists an instance and begins its lease. The same incarnation again describes it anew and renews its lease; it
    /// keeps its fencing revision.
    ///
    /// An empty `instance_id` becomes a new one (UUID v7), which the reply has.
    ///
    /// # Errors
    /// [`RegistryError::StaleIncarnation`] for a start that is not the latest, or that was deregistered.
    pub async fn register_instance(
        &self,
        spec: InstanceSpec,
        incarnation: Option<u64>,
        context: Context,
    ) -> Result<Reply, RegistryError> {
        let action = register_action(spec, incarnation, Expect::Any);
        self.submit(action, context).await
    }

    /// Changes an instance.
    ///
    /// # Errors
    /// [`RegistryError::UnknownInstance`], and what the change itself may be refused for.
    pub async fn change_instance(
        &self,
        service: &str,
        instance_id: &str,
        change: InstanceChange,
        context: Context,
    ) -> Result<Reply, RegistryError> {
        let action = Action::Instance(InstanceAction {
            service: service.to_owned(),
            instance_id: instance_id.to_owned(),
            change,
            expect: Expect::Any,
        });
        self.submit(action, context).await
    }

    /// Renews a lease without a queue, a transaction or an event, where that is all there is to do. Allocates nothing.
    ///
    /// False where the driver must decide: the instance is not known, its lease lapsed, or another process keeps it.
    pub fn try_heartbeat(&self, view: &View, beat: Heartbeat<'_>) -> bool {
        let is_renewed = self.renew(view, beat);
        if is_renewed {
            self.count_heartbeats(1);
        }
        is_renewed
    }

    fn renew(&self, view: &View, beat: Heartbeat<'_>) -> bool {
        let lease = view
            .instance(beat.service, beat.instance_id)
            .and_then(|instance| instance.lease());
        let Some(lease) = lease else {
            return false;
        };
        beat.incarnation
            .is_none_or(|incarnation| incarnation == lease.incarnation())
            && lease.renew(&self.shared().lease_clock) == Renewal::Renewed
    }

    fn count_heartbeats(&self, count: u64) {
        let counters = &self.shared().counters;
        counters.heartbeats.fetch_add(count, Ordering::Relaxed);
    }

    /// Renews the lease of an instance, or registers it where it says what it is and the policy of its service allows.
    ///
    /// # Errors
    /// [`RegistryError::NoLease`] where it must register; [`RegistryError::StaleIncarnation`];
    /// [`RegistryError::Closed`], also where the lease is known.
    pub async fn heartbeat(
        &self,
        beat: Heartbeat<'_>,
        spec: Option<InstanceSpec>,
        context: Context,
    ) -> Result<(), RegistryError> {
        self.check_open()?;
        if self.try_heartbeat(&self.stale_view(), beat) {
            return Ok(());
        }
        let reply = self.submit(beat_action(beat, spec), context).await;
        self.count_heartbeats(u64::from(reply.is_ok()));
        reply.map(drop)
    }

    /// Renews many leases, and answers those that could not be, by their place in the batch.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] for more than [`HEARTBEATS_MAX`]; [`RegistryError::Closed`].
    pub async fn heartbeats(
        &self,
        beats: &[Heartbeat<'_>],
        context: &Context,
    ) -> Result<Vec<(usize, RegistryError)>, RegistryError> {
        if beats.len() > HEARTBEATS_MAX {
            let expected = format!("at most {HEARTBEATS_MAX} entries");
            let found = beats.len().to_string();
            return Err(ModelError::new("heartbeats", expected, found).into());
        }
        self.check_open()?;
        let view = self.stale_view();
        let mut waiting = Vec::new();
        let mut refused = Vec::new();
        for (index, beat) in beats.iter().enumerate() {
            if !self.renew(&view, *beat) {
                let handed = self.hand_over(beat_action(*beat, None), context.clone());
                match handed.await {
                    Ok(answer) => waiting.push((index, answer)),
                    Err(RegistryError::Closed) => return Err(RegistryError::Closed),
                    Err(error) => refused.push((index, error)),
                }
            }
        }
        for (index, answer) in waiting {
            match answer.await.unwrap_or(Err(RegistryError::Closed)) {
                Ok(_) => {}
                Err(error) => refused.push((index, error)),
            }
        }
        refused.sort_by_key(|(index, _)| *index);
        self.count_heartbeats((beats.len() - refused.len()) as u64);
        Ok(refused)
    }

    /// The instance of a service with that id.
    ///
    /// # Errors
    /// Where the store of several processes cannot be read.
    pub async fn instance(
        &self,
        service: &str,
        id: &str,
    ) -> Result<Option<Arc<Instance>>, RegistryError> {
        Ok(self.view().await?.instance(service, id).cloned())
    }

    /// One page of a list of instances. All pages of a list are read from one snapshot.
    ///
    /// # Errors
    /// [`RegistryError::CursorExpired`] where that snapshot is no longer kept.
    pub async fn list_instances(
        &self,
        request: &InstancePageRequest,
    ) -> Result<InstancePage, RegistryError> {
        let view = match &request.cursor {
            None if request.stale => self.stale_view(),
            None => self.view().await?,
            Some(cursor) => self.pinned(cursor.revision)?,
        };
        self.shared().pins.read_instances(&view, request)
    }

    /// The instances of a service that a caller may use: those that are listed, let in, enabled and not critical. Those
    /// that mass-expiry protection holds back are among them, and say so.
    ///
    /// # Errors
    /// Where the store of several processes cannot be read. A service without instances answers an empty list.
    pub async fn resolve(&self, request: &ResolveRequest) -> Result<Resolved, RegistryError> {
        Name::new(&request.service)?;
        let limit = request.limit.unwrap_or(usize::MAX);
        check_limit(limit, usize::MAX)?;
        let view = self.view().await?;
        let candidates = view
            .instances_of(&request.service)
            .filter(|instance| is_eligible(instance) && request.filter.matches(instance))
            .cloned()
            .collect();
        let turn = match request.strategy {
            Strategy::RoundRobin => self.shared().turns.next(&request.service),
            _ => fastrand::u64(..),
        };
        let instances = choose(candidates, request.strategy, &request.place, turn, limit);
        Ok(Resolved {
            instances,
            revision: view.revision(),
        })
    }

    /// Says for every instance of a service, or for one, why it is in the answer to that filter or not.
    ///
    /// # Errors
    /// [`RegistryError::UnknownInstance`] where one is asked for that there is not.
    pub async fn explain(
        &self,
        service: &str,
        instance_id: Option<&str>,
        filter: &InstanceFilter,
    ) -> Result<(Vec<Explanation>, Revision), RegistryError> {
        Name::new(service)?;
        let view = self.view().await?;
        let policy = self.policy_in(&view, service);
        let clock = &self.shared().lease_clock;
        let explain = |instance| explain(instance, filter, &policy, clock);
        let explanations: Vec<_> = match instance_id {
            None => view.instances_of(service).map(explain).collect(),
            Some(id) => {
                let instance = view.instance(service, id);
                let unknown = || RegistryError::UnknownInstance {
                    service: service.to_owned(),
                    instance_id: id.to_owned(),
                };
                vec![explain(instance.ok_or_else(unknown)?)]
            }
        };
        Ok((explanations, view.revision()))
    }

    /// Time on the clock of the leases since the registry was opened: it moves by ticks while there are leases and the
    /// driver runs, and stands still otherwise.
    pub fn lease_time(&self) -> Duration {
        self.shared().lease_clock.now()
    }

    /// The rules in force for the instances of a service.
    pub fn policy_in(&self, view: &View, service: &str) -> LeasePolicy {
        let defaults = self.shared().config.leases.policy;
        defaults.with(view.policy(service))
    }

    /// Ends the leases of a service that mass-expiry protection holds back, and answers how many there were.
    ///
    /// # Errors
    /// The first failure to commit; what came before it stands.
    pub async fn release_protection(
        &self,
        service: &str,
        context: &Context,
    ) -> Result<u64, RegistryError> {
        Name::new(service)?;
        let view = self.view().await?;
        let held = view
            .instances_of(service)
            .filter(|instance| instance.entry().suspect_since.is_some());
        let mut answers = Vec::new();
        for instance in held {
            let fencing_revision = instance.entry().fencing_revision;
            let action = Action::Instance(InstanceAction {
                service: service.to_owned(),
                instance_id: instance.id().to_string(),
                change: InstanceChange::Release { fencing_revision },
                expect: Expect::Any,
            });
            answers.push(self.hand_over(action, context.clone()).await?);
        }
        let mut released = 0;
        for answer in answers {
            let reply = answer.await.map_err(|_| RegistryError::Closed)??;
            released += u64::from(reply.is_changed);
        }
        Ok(released)
    }
}

/// The action that registers an instance, under a new id where it has none.
pub fn register_action(mut spec: InstanceSpec, incarnation: Option<u64>, expect: Expect) -> Action {
    if spec.instance_id.is_empty() {
        spec.instance_id = TransactionId::fresh().to_string();
    }
    Action::Instance(InstanceAction {
        service: spec.service.clone(),
        instance_id: spec.instance_id.clone(),
        change: InstanceChange::Register {
            spec: Box::new(spec),
            incarnation,
        },
        expect,
    })
}

fn beat_action(beat: Heartbeat<'_>, spec: Option<InstanceSpec>) -> Action {
    Action::Instance(InstanceAction {
        service: beat.service.to_owned(),
        instance_id: beat.instance_id.to_owned(),
        change: InstanceChange::Beat {
            incarnation: beat.incarnation,
            spec: spec.map(Box::new),
        },
        expect: Expect::Any,
    })
}
