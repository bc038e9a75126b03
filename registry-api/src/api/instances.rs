//! Answers actions on instances.

use std::fmt::Write as _;
use std::sync::Arc;

use registry_core::engine::{
    Action, Context, Heartbeat, Instance, InstanceAction, InstanceChange, InstanceCursor,
    InstancePageRequest, Place, RegistryError, ResolveRequest, register_action,
};
use registry_core::model::{HealthStatus, InstanceSpec, ModelError, Name, ServicePolicy};
use registry_core::{Revision, Timestamp};

use super::{Answer, Answered, Api, Planned, Refusal, Subject, answer, expect, parse, written};
use crate::answer::{
    Beaten, ExplanationList, InstanceList, PolicyInfo, RefusedBeat, Released, Written,
};
use crate::auth::Caller;
use crate::bind::Life;
use crate::error::{ErrorCode, ErrorInfo};
use crate::params;
use crate::shown::ShownInstance;
use crate::strict::parse_strict_borrowed;
use crate::told::SharedJson;

/// Bytes of a time with nanoseconds, its quotes and the end of the object that it is the last field of.
const TIME_BYTES_MAX: usize = r#""2026-01-01T00:00:00.123456789Z"}"#.len();

impl Api {
    pub(super) async fn list_instances(&self, params: params::ListInstances) -> Answered {
        let cursor = params
            .cursor
            .as_deref()
            .map(str::parse::<InstanceCursor>)
            .transpose()?;
        let request = InstancePageRequest {
            filter: params.filter,
            cursor,
            limit: params.limit,
            stale: params.stale,
        };
        let page = self.registry.list_instances(&request).await?;
        let instances = page.instances.iter();
        let list = InstanceList {
            instances: instances.map(ShownInstance::from).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        };
        Ok(answer(&list, page.revision))
    }

    pub(super) async fn get_instance(&self, params: params::GetInstance) -> Answered {
        let (service, id) = (Name::new(&params.service)?, Name::new(&params.instance_id)?);
        let view = self.view(params.stale).await?;
        let found = view.instance(&service, &id);
        let instance = found.ok_or(RegistryError::UnknownInstance {
            service: params.service,
            instance_id: params.instance_id,
        })?;
        Ok(Answer {
            subject: Some(Subject::Instance(Arc::clone(instance))),
            ..Answer::of_data(self.shown("", instance, ""), view.revision())
        })
    }

    pub(super) async fn resolve_service(&self, params: params::ResolveService) -> Answered {
        let request = ResolveRequest {
            service: params.service,
            filter: params.filter,
            strategy: params.strategy,
            place: Place {
                zone: params.zone,
                region: params.region,
            },
            limit: params.limit,
        };
        let resolved = self.registry.resolve(&request).await?;
        let instances = resolved.instances.iter();
        let list = InstanceList {
            instances: instances.map(ShownInstance::from).collect(),
            next_cursor: None,
        };
        Ok(answer(&list, resolved.revision))
    }

    pub(super) async fn explain_instances(&self, params: params::ExplainInstances) -> Answered {
        let params::ExplainInstances {
            service,
            instance_id,
            filter,
        } = params;
        let explained = self
            .registry
            .explain(&service, instance_id.as_deref(), &filter);
        let (instances, revision) = explained.await?;
        let policy = self
            .registry
            .policy_in(&self.registry.stale_view(), &service);
        let list = ExplanationList {
            service,
            policy,
            instances,
        };
        Ok(answer(&list, revision))
    }

    pub(super) async fn get_service_policy(&self, params: params::ServiceOnly) -> Answered {
        Name::new(&params.service)?;
        let view = self.view(false).await?;
        Ok(self.policy_answer(&view, params.service))
    }

    fn policy_answer(&self, view: &registry_core::engine::View, service: String) -> Answer {
        let own = view.policy(&service).cloned();
        let info = PolicyInfo {
            own: own.unwrap_or_else(|| ServicePolicy {
                service: service.clone(),
                ..ServicePolicy::default()
            }),
            effective: self.registry.policy_in(view, &service),
            service,
        };
        answer(&info, view.revision())
    }

    pub(super) async fn register_instance(
        &self,
        mut params: params::RegisterInstance,
        caller: &Caller,
    ) -> Answered {
        let context = params.take_context();
        let expect = expect(params.expect_revision);
        let now = self.now();
        let life = match params.bind {
            None => None,
            Some(params::Bind::Process) => Some(Life::of_process(caller, now)?),
            Some(params::Bind::Connection) => Some(Life::of_connection(caller, now)?),
        };
        if life.is_some() && self.binder.is_none() {
            let message = "params: bind: nobody watches over bound leases here";
            return Err(Refusal::Code(ErrorCode::Unsupported, message.to_owned()));
        }
        let action = register_action(params.instance, params.incarnation, expect);
        let reply = self.submit(action, context, caller).await?;
        if let (Some(binder), Some(instance)) = (&self.binder, &reply.instance) {
            binder.bind(instance, life, now)?;
        }
        Ok(written(&reply))
    }

    /// An instance as it is answered, between two texts.
    fn shown(&self, before: &str, instance: &Arc<Instance>, after: &str) -> SharedJson {
        let (text, last_seen) = (self.instances.render(instance), instance.last_seen());
        // A text that grows while it is written is copied each time.
        let room = before.len() + text.len() + TIME_BYTES_MAX + after.len();
        let mut shown = String::with_capacity(room);
        shown.push_str(before);
        shown.push_str(&text);
        write!(shown, r#""{last_seen}"}}"#).expect("a String takes it");
        shown.push_str(after);
        SharedJson::of_text(shown)
    }

    pub(super) async fn heartbeat(&self, params: params::Beat, caller: &Caller) -> Answered {
        let params::Beat {
            service,
            instance_id,
            incarnation,
            instance,
        } = params;
        let spec = instance
            .map(|spec| named(spec, &service, &instance_id))
            .transpose()?;
        let beat = Heartbeat {
            service: &service,
            instance_id: &instance_id,
            incarnation,
        };
        self.registry.heartbeat(beat, spec, context(caller)).await?;
        let view = self.registry.stale_view();
        let revision = view.revision();
        let Some(found) = view.instance(&service, &instance_id) else {
            let written = Written {
                revision,
                changed: false,
                service: None,
                instance: None,
            };
            return Ok(answer(&written, revision));
        };
        // As `Written`: nearly all of it was written at the heartbeat before.
        let before = format!(r#"{{"revision":{revision},"changed":false,"instance":"#);
        Ok(Answer::of_data(self.shown(&before, found, "}"), revision))
    }

    pub(super) async fn heartbeats(&self, params: &str, caller: &Caller) -> Answered {
        // Read without a copy, and again with care for the place of the fault where there is one.
        let batch: params::Beats<'_> = serde_json::from_str(params).or_else(|_| {
            parse_strict_borrowed(params).map_err(|message| {
                Refusal::Code(ErrorCode::BadRequest, format!("params: {message}"))
            })
        })?;
        let beats: Vec<Heartbeat<'_>> = batch
            .heartbeats
            .iter()
            .map(|beat| Heartbeat {
                service: &beat.service,
                instance_id: &beat.instance_id,
                incarnation: beat.incarnation,
            })
            .collect();
        let refused = self.registry.heartbeats(&beats, &context(caller)).await?;
        let now = self.now();
        let beaten = Beaten {
            renewed: beats.len() - refused.len(),
            refused: refused
                .into_iter()
                .map(|(index, error)| RefusedBeat {
                    index,
                    error: ErrorInfo::of(&error, now),
                })
                .collect(),
        };
        Ok(answer(&beaten, self.registry.stale_view().revision()))
    }

    pub(super) async fn release_protection(&self, params: &str, caller: &Caller) -> Answered {
        let params::ReleaseProtection { service, reason } = parse(params)?;
        let context = Context {
            reason,
            ..context(caller)
        };
        let released = self.registry.release_protection(&service, &context).await?;
        let revision = self.registry.stale_view().revision();
        Ok(answer(&Released { released }, revision))
    }
}

fn context(caller: &Caller) -> Context {
    Context {
        actor: caller.actor.clone(),
        ..Context::default()
    }
}

/// A registration under the name that it was sent to; it may leave the name out.
fn named(
    mut spec: InstanceSpec,
    service: &str,
    instance_id: &str,
) -> Result<InstanceSpec, ModelError> {
    for (field, own, given) in [
        ("instance.service", &mut spec.service, service),
        ("instance.instance_id", &mut spec.instance_id, instance_id),
    ] {
        if own.is_empty() {
            given.clone_into(own);
        } else if own != given {
            return Err(ModelError::new(
                field,
                format!("{given:?}"),
                format!("{own:?}"),
            ));
        }
    }
    Ok(spec)
}

fn change(
    service: String,
    instance_id: String,
    change: InstanceChange,
    expected: Option<Revision>,
) -> Action {
    Action::Instance(InstanceAction {
        service,
        instance_id,
        change,
        expect: expect(expected),
    })
}

pub(super) fn deregister_instance(mut params: params::DeregisterInstance) -> Planned {
    let context = params.take_context();
    let incarnation = params.incarnation;
    let action = change(
        params.service,
        params.instance_id,
        InstanceChange::Deregister { incarnation },
        params.expect_revision,
    );
    (action, context)
}

pub(super) fn set_instance_intent(mut params: params::SetInstanceIntent) -> Planned {
    let context = params.take_context();
    let action = change(
        params.service,
        params.instance_id,
        InstanceChange::SetIntent(params.intent),
        params.expect_revision,
    );
    (action, context)
}

pub(super) fn set_instance_lifecycle(mut params: params::SetInstanceLifecycle) -> Planned {
    let context = params.take_context();
    let action = change(
        params.service,
        params.instance_id,
        InstanceChange::SetLifecycle(params.lifecycle),
        params.expect_revision,
    );
    (action, context)
}

pub(super) fn report_instance_health(
    mut params: params::ReportInstanceHealth,
    now: Timestamp,
) -> Planned {
    let context = params.take_context();
    let health = HealthStatus {
        status: params.status,
        checked_at: now,
        message: params.message,
    };
    let action = change(
        params.service,
        params.instance_id,
        InstanceChange::ReportHealth(health),
        params.expect_revision,
    );
    (action, context)
}

pub(super) fn set_service_policy(
    mut params: params::SetServicePolicy,
) -> Result<Planned, ModelError> {
    let context = params.take_context();
    let mut policy = params.policy;
    if policy.service.is_empty() {
        policy.service.clone_from(&params.service);
    } else if policy.service != params.service {
        let expected = format!("{:?}", params.service);
        let found = format!("{:?}", policy.service);
        return Err(ModelError::new("policy.service", expected, found));
    }
    let action = Action::SetPolicy {
        policy,
        expect: expect(params.expect_revision),
    };
    Ok((action, context))
}
