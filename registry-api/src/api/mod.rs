//! Answers actions.

mod instances;

use std::sync::Arc;

use registry_core::engine::{
    Action, Context, Cursor, Expect, Filter, Instance, LogFilter, LogRequest, PageRequest,
    Registry, RegistryError, Reply, Service, View,
};
use registry_core::model::{HealthStatus, ModelError, Name};
use registry_core::{Revision, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::action::{ActionSpec, Effect};
use crate::answer::{
    EndpointInfo, EndpointList, History, HistoryEntry, LogEntryInfo, LogList, Pong, RegistryInfo,
    ServiceList, Written,
};
use crate::auth::Caller;
use crate::bind::{Binder, Bindings};
use crate::error::{ErrorCode, ErrorInfo};
use crate::event::raw;
use crate::pages::{PageOf, Pages};
use crate::params;
use crate::renderings::Renderings;
use crate::shown::{ShownInstance, ShownService};
use crate::snapshot::{Lines, Snapshot};
use crate::strict::parse_strict;
use crate::told::{Kept, SharedJson};

/// Log entries in a page of a history, where the caller names no number.
const HISTORY_PAGE: usize = 100;

/// The command layer over one registry. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Api {
    registry: Registry,
    binder: Option<Binder>,
    told: Arc<Kept>,
    pages: Arc<Pages<SharedJson>>,
    lines: Arc<Pages<Lines>>,
    services: Arc<Renderings<Service>>,
    instances: Arc<Renderings<Instance>>,
}

/// The answer to an action: its data, and the revision that it reflects.
#[derive(Debug)]
pub struct Answer {
    /// JSON.
    pub data: SharedJson,
    /// The revision.
    pub revision: Revision,
    /// The one record that it is about, where there is one.
    pub subject: Option<Subject>,
    /// Whether a write committed something, now or the first time it was sent.
    pub is_changed: bool,
}

impl Answer {
    /// An answer that is about no one record.
    fn of_data(data: SharedJson, revision: Revision) -> Self {
        Self {
            data,
            revision,
            subject: None,
            is_changed: false,
        }
    }
}

/// The record that an answer is about, so that a face need not read what was just written.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A service.
    Service(Arc<Service>),
    /// An instance.
    Instance(Arc<Instance>),
}

impl Subject {
    /// The commit that last changed it.
    pub fn modified(&self) -> Revision {
        match self {
            Self::Service(service) => service.modified(),
            Self::Instance(instance) => instance.modified(),
        }
    }

    /// The commit that created it.
    pub fn created(&self) -> Revision {
        match self {
            Self::Service(service) => service.created(),
            Self::Instance(instance) => instance.created(),
        }
    }
}

/// Why an action was not answered: an error of the domain, or one of the request itself.
enum Refusal {
    Registry(RegistryError),
    Code(ErrorCode, String),
    Info(ErrorInfo),
}

impl From<ErrorInfo> for Refusal {
    fn from(info: ErrorInfo) -> Self {
        Self::Info(info)
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<ModelError> for Refusal {
    fn from(error: ModelError) -> Self {
        Self::Registry(error.into())
    }
}

impl Refusal {
    fn told_at(self, now: Timestamp) -> ErrorInfo {
        match self {
            Self::Registry(error) => ErrorInfo::of(&error, now),
            Self::Code(code, message) => ErrorInfo::new(code, message, now),
            Self::Info(info) => info,
        }
    }
}

type Answered = Result<Answer, Refusal>;

impl Api {
    /// The command layer over a registry.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            binder: None,
            told: Arc::default(),
            pages: Arc::default(),
            lines: Arc::default(),
            services: Arc::default(),
            instances: Arc::default(),
        }
    }

    /// The command layer over a registry whose leases can be bound to processes and connections, and what must run for
    /// that.
    pub fn with_bindings(registry: Registry) -> (Self, Bindings) {
        let (binder, bindings) = Bindings::new(registry.clone());
        let api = Self {
            binder: Some(binder),
            ..Self::new(registry)
        };
        (api, bindings)
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What commits tell.
    pub(crate) fn told(&self) -> &Arc<Kept> {
        &self.told
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.registry.clock().now()
    }

    /// Answers a read, a write or a ping. What belongs to a connection is the face's.
    ///
    /// # Errors
    /// [`ErrorInfo`] of the table.
    pub async fn call(
        &self,
        action: &str,
        params: &str,
        caller: &Caller,
    ) -> Result<Answer, ErrorInfo> {
        let now = self.now();
        let spec = ActionSpec::find(action).ok_or_else(|| {
            ErrorInfo::new(
                ErrorCode::UnknownAction,
                format!("there is no action {action:?}"),
                now,
            )
        })?;
        caller.check(spec.effect, now)?;
        let answered = match spec.effect {
            Effect::Write => self.write(action, params, caller).await,
            Effect::Unsupported => Err(Refusal::Code(
                ErrorCode::Unsupported,
                format!("{action}: this registry describes services and does not run them"),
            )),
            Effect::Read | Effect::Session => self.read(action, params).await,
        };
        answered.map_err(|refusal| refusal.told_at(now))
    }

    /// Answers as [`call`](Self::call) does `get_service` with nothing but a name, which most requests are. For a face
    /// that has the name at hand: it need not be written as JSON to be read again.
    ///
    /// # Errors
    /// [`ErrorInfo`] of the table.
    pub async fn look_up(&self, name: &str, caller: &Caller) -> Result<Answer, ErrorInfo> {
        let now = self.now();
        caller.check(Effect::Read, now)?;
        let answered = self.get_service(name, false).await;
        answered.map_err(|refusal| refusal.told_at(now))
    }

    async fn read(&self, action: &str, params: &str) -> Answered {
        match action {
            "list_services" => self.list_services(parse(params)?).await,
            "get_service" => {
                let params::GetService { name, stale } = parse(params)?;
                self.get_service(&name, stale).await
            }
            "list_endpoints" => self.list_endpoints(parse(params)?).await,
            "service_history" => self.service_history(parse(params)?).await,
            "list_log" => self.list_log(parse(params)?).await,
            "service_dependencies" => self.service_dependencies(parse(params)?).await,
            "registry_info" => self.registry_info(&parse(params)?).await,
            "list_instances" => self.list_instances(parse(params)?).await,
            "get_instance" => self.get_instance(parse(params)?).await,
            "resolve_service" => self.resolve_service(parse(params)?).await,
            "explain_instances" => self.explain_instances(parse(params)?).await,
            "get_service_policy" => self.get_service_policy(parse(params)?).await,
            "snapshot" => self.snapshot(parse(params)?).await,
            "ping" => parse(params).map(|nothing| self.ping(&nothing)),
            other => Err(Refusal::Code(
                ErrorCode::Unsupported,
                format!("{other} needs a connection that stays open"),
            )),
        }
    }

    async fn write(&self, action: &str, params: &str, caller: &Caller) -> Answered {
        let (action, context) = match action {
            "heartbeat" => return self.heartbeat(parse(params)?, caller).await,
            "heartbeats" => return self.heartbeats(params, caller).await,
            "release_protection" => return self.release_protection(params, caller).await,
            "register_instance" => return self.register_instance(parse(params)?, caller).await,
            "deregister_instance" => instances::deregister_instance(parse(params)?),
            "set_instance_intent" => instances::set_instance_intent(parse(params)?),
            "set_instance_lifecycle" => instances::set_instance_lifecycle(parse(params)?),
            "report_instance_health" => {
                instances::report_instance_health(parse(params)?, self.now())
            }
            "set_service_policy" => instances::set_service_policy(parse(params)?)?,
            "register_service" => register_service(parse(params)?)?,
            "update_service" => update_service(parse(params)?),
            "deregister_service" => deregister_service(parse(params)?),
            "set_service_state" => set_service_state(parse(params)?),
            "report_health" => report_health(parse(params)?, self.now()),
            "replace_endpoints" => replace_endpoints(parse(params)?),
            other => {
                return Err(Refusal::Code(
                    ErrorCode::UnknownAction,
                    format!("there is no write {other:?}"),
                ));
            }
        };
        let reply = self.submit(action, context, caller).await?;
        Ok(written(&reply))
    }

    async fn submit(
        &self,
        action: Action,
        context: params::WriteContext,
        caller: &Caller,
    ) -> Result<Reply, RegistryError> {
        let params::WriteContext {
            reason,
            idempotency_key,
        } = context;
        let context = Context {
            actor: caller.actor.clone(),
            reason,
            idempotency_key,
        };
        self.registry.submit(action, context).await
    }

    async fn view(&self, stale: bool) -> Result<Arc<View>, RegistryError> {
        if stale {
            Ok(self.registry.stale_view())
        } else {
            self.registry.view().await
        }
    }

    async fn page(
        &self,
        params: params::ListServices,
    ) -> Result<registry_core::engine::Page, Refusal> {
        let cursor = params
            .cursor
            .as_deref()
            .map(str::parse::<Cursor>)
            .transpose()?;
        let request = PageRequest {
            filter: params.filter,
            cursor,
            limit: params.limit,
        };
        let page = if params.stale {
            self.registry.list_stale(&request)
        } else {
            self.registry.list(&request).await
        };
        Ok(page?)
    }

    async fn list_services(&self, params: params::ListServices) -> Answered {
        let asked = self.page_of(&params).await?;
        if let Some(asked) = &asked
            && let Some(data) = self.pages.find(asked)
        {
            return Ok(Answer::of_data(data, asked.revision));
        }
        let page = self.page(params).await?;
        let services = page.services.iter().map(ShownService::from).collect();
        let next_cursor = page.next.map(|cursor| cursor.to_string());
        let list = ServiceList {
            services,
            next_cursor,
        };
        let data = SharedJson::from(raw(&list));
        if let Some(asked) = asked.filter(|asked| asked.revision == page.revision) {
            self.pages.keep(asked, data.clone(), data.get().len());
        }
        Ok(Answer::of_data(data, page.revision))
    }

    /// What a page shows; none where it is filtered, and hardly ever asked for twice.
    async fn page_of(&self, params: &params::ListServices) -> Result<Option<PageOf>, Refusal> {
        if params.filter != Filter::default() {
            return Ok(None);
        }
        // Before the view: a report that comes between is told by the next page.
        let confirmations = self.registry.confirmations();
        let cursor = params
            .cursor
            .as_deref()
            .map(str::parse::<Cursor>)
            .transpose()?;
        let (revision, after) = match cursor {
            Some(Cursor { revision, after }) => (revision, Some(after)),
            None => (self.view(params.stale).await?.revision(), None),
        };
        let limit = params.limit;
        Ok(Some(PageOf {
            revision,
            confirmations,
            after,
            limit,
        }))
    }

    async fn list_endpoints(&self, params: params::ListServices) -> Answered {
        let protocol = params.filter.protocol.clone();
        let page = self.page(params).await?;
        let endpoints = page.services.iter().flat_map(EndpointInfo::of);
        let endpoints = endpoints.filter(|endpoint| {
            protocol
                .as_ref()
                .is_none_or(|wanted| endpoint.protocol == *wanted)
        });
        let next_cursor = page.next.map(|cursor| cursor.to_string());
        Ok(answer(
            &EndpointList {
                endpoints: endpoints.collect(),
                next_cursor,
            },
            page.revision,
        ))
    }

    async fn get_service(&self, name: &str, stale: bool) -> Answered {
        let look = |view: &View| (view.get(name), view.revision());
        let (service, revision) = if stale {
            look(&self.registry.stale_view())
        } else {
            self.registry.read(look).await?
        };
        let Some(service) = service else {
            Name::new(name)?;
            let name = name.to_owned();
            return Err(RegistryError::UnknownService { name }.into());
        };
        let text = SharedJson::of_text(self.services.render(&service));
        Ok(Answer {
            subject: Some(Subject::Service(service)),
            ..Answer::of_data(text, revision)
        })
    }

    async fn service_history(&self, params: params::ServiceHistory) -> Answered {
        let oldest = self.registry.head().await?.compacted.revision;
        let after = params.after.unwrap_or(oldest);
        let limit = params.limit.unwrap_or(HISTORY_PAGE);
        let page = self.registry.history(&params.name, after, limit).await?;
        let entries = page
            .entries
            .iter()
            .map(|entry| HistoryEntry::of(entry, &params.name))
            .collect();
        let next_after = (page.through < page.head).then_some(page.through);
        Ok(answer(
            &History {
                entries,
                next_after,
            },
            page.head,
        ))
    }

    async fn list_log(&self, params: params::ListLog) -> Answered {
        let request = LogRequest {
            filter: LogFilter {
                actor: params.actor,
                service: params.service,
                action: params.action,
                since: params.since,
                until: params.until,
            },
            after: params.after,
            limit: Some(params.limit.unwrap_or(HISTORY_PAGE)),
        };
        let page = self.registry.log(&request).await?;
        let entries = page.entries.iter().map(|entry| LogEntryInfo::of(entry));
        let list = LogList {
            entries: entries.collect(),
            through: page.through,
            next_after: (page.through < page.head).then_some(page.through),
        };
        Ok(answer(&list, page.head))
    }

    async fn service_dependencies(&self, params: params::ServiceDependencies) -> Answered {
        let name = Name::new(&params.name)?;
        let view = self.registry.view().await?;
        let is_known = view.get(&name).is_some() || !view.dependents(&name).is_empty();
        if !is_known {
            return Err(RegistryError::UnknownService { name: params.name }.into());
        }
        let distance_max = params.distance_max.unwrap_or(u32::MAX);
        Ok(answer(
            &view.dependencies(&name, params.direction, distance_max),
            view.revision(),
        ))
    }

    async fn snapshot(&self, params: params::SnapshotParams) -> Answered {
        let mut snapshot = Snapshot::go_on(&self.registry, params.cursor.as_deref()).await?;
        let page = snapshot.answer(params.limit)?;
        Ok(answer(&page, page.revision))
    }

    /// The next records of a snapshot as lines of JSON; none after the last. Services are rendered once for all who read
    /// them at one revision.
    pub fn snapshot_lines(&self, snapshot: &mut Snapshot) -> Option<Lines> {
        snapshot.next_lines(&self.lines, self.registry.confirmations())
    }

    async fn registry_info(&self, _: &params::Nothing) -> Answered {
        let head = self.registry.head().await?;
        let capabilities = self.registry.capabilities().clone();
        let info = RegistryInfo {
            backend: capabilities.backend,
            durability: capabilities.durability,
            revision: head.revision(),
            records: head.tally.counts.clone(),
            stats: self.registry.stats(),
            capabilities,
            head,
        };
        let revision = info.revision;
        Ok(answer(&info, revision))
    }

    fn ping(&self, _: &params::Nothing) -> Answer {
        let revision = self.registry.stale_view().revision();
        answer(
            &Pong {
                time: self.now(),
                revision,
            },
            revision,
        )
    }
}

fn written(reply: &Reply) -> Answer {
    let written = Written {
        revision: reply.revision,
        changed: reply.is_changed,
        service: reply.service.as_ref().map(ShownService::from),
        instance: reply.instance.as_ref().map(ShownInstance::from),
    };
    let instance = reply.instance.clone().map(Subject::Instance);
    let subject = instance.or_else(|| reply.service.clone().map(Subject::Service));
    Answer {
        subject,
        is_changed: reply.is_changed,
        ..answer(&written, reply.revision)
    }
}

fn answer(data: &impl Serialize, revision: Revision) -> Answer {
    Answer::of_data(raw(data).into(), revision)
}

fn parse<T: DeserializeOwned>(params: &str) -> Result<T, Refusal> {
    parse_strict(params)
        .map_err(|message| Refusal::Code(ErrorCode::BadRequest, format!("params: {message}")))
}

fn expect(revision: Option<Revision>) -> Expect {
    match revision {
        None => Expect::Any,
        Some(Revision::ZERO) => Expect::Absent,
        Some(revision) => Expect::At(revision),
    }
}

type Planned = (Action, params::WriteContext);

fn register_service(mut params: params::RegisterService) -> Result<Planned, Refusal> {
    let context = params.take_context();
    let action = Action::register(params.service, expect(params.expect_revision))?;
    Ok((action, context))
}

fn update_service(mut params: params::UpdateService) -> Planned {
    let context = params.take_context();
    let expect = expect(params.expect_revision);
    (
        Action::Update {
            name: params.name,
            patch: params.changes,
            expect,
        },
        context,
    )
}

fn deregister_service(mut params: params::DeregisterService) -> Planned {
    let context = params.take_context();
    (
        Action::Deregister {
            name: params.name,
            expect: expect(params.expect_revision),
        },
        context,
    )
}

fn set_service_state(mut params: params::SetServiceState) -> Planned {
    let context = params.take_context();
    let expect = expect(params.expect_revision);
    (
        Action::SetState {
            name: params.name,
            state: params.state,
            expect,
        },
        context,
    )
}

fn report_health(mut params: params::ReportHealth, now: Timestamp) -> Planned {
    let context = params.take_context();
    let checked_at = params.checked_at.unwrap_or(now);
    let health = HealthStatus {
        status: params.status,
        checked_at,
        message: params.message,
    };
    let expect = expect(params.expect_revision);
    (
        Action::ReportHealth {
            name: params.name,
            health,
            expect,
        },
        context,
    )
}

fn replace_endpoints(mut params: params::ReplaceEndpoints) -> Planned {
    let context = params.take_context();
    let expect = expect(params.expect_revision);
    (
        Action::ReplaceEndpoints {
            name: params.name,
            endpoints: params.endpoints,
            expect,
        },
        context,
    )
}
