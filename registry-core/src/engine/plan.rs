//! Plans: what a command means on a view. Pure: no await, no clock, no random, no I/O.

use std::sync::Arc;

use super::command::{Action, Command, Expect};
use super::error::RegistryError;
use super::view::{Service, View};
use crate::model::{ModelError, Name, ServiceEntry};
use crate::record::{Image, Record};
use crate::revision::Revision;
use crate::time::Timestamp;

/// What a command comes to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Plan {
    /// Put the record of that name.
    Put(Name, Arc<Image>),
    /// Delete the record of that name.
    Delete(Name),
    /// Everything is as asked for already.
    Unchanged(Name),
    /// The health is as reported already; only the time of the report is new.
    Confirmed(Name, Timestamp),
}

impl Plan {
    /// The service it is about.
    pub fn name(&self) -> &Name {
        match self {
            Self::Put(name, _)
            | Self::Delete(name)
            | Self::Unchanged(name)
            | Self::Confirmed(name, _) => name,
        }
    }
}

/// Plans a command on a view.
///
/// # Errors
/// [`RegistryError`] for what the caller must change or decide again; never a store's failure.
pub fn plan(view: &View, command: &Command) -> Result<Plan, RegistryError> {
    let name = Name::new(command.action.service())?;
    match &command.action {
        Action::Register { entry, expect } => {
            let found = view.get(&name);
            check(&name, found, *expect)?;
            put(name, found, entry.clone())
        }
        Action::Update { patch, expect, .. } => {
            change(view, name, *expect, |entry| patch.clone().apply(entry))
        }
        Action::SetState { state, expect, .. } => {
            change(view, name, *expect, |entry| entry.state = state.clone())
        }
        Action::ReplaceEndpoints {
            endpoints, expect, ..
        } => change(view, name, *expect, |entry| {
            entry.endpoints.clone_from(endpoints);
        }),
        Action::ReportHealth { health, expect, .. } => {
            let found = existing(view, &name)?;
            check(&name, Some(found), *expect)?;
            let known = found.entry().last_health_check.as_ref();
            if known.is_some_and(|known| known.says_the_same_as(health)) {
                return Ok(Plan::Confirmed(name, health.checked_at));
            }
            change(view, name, *expect, |entry| {
                entry.last_health_check = Some(health.clone());
            })
        }
        Action::Deregister { expect, .. } => {
            let found = existing(view, &name)?;
            check(&name, Some(found), *expect)?;
            check_schema(&name, found)?;
            Ok(Plan::Delete(name))
        }
    }
}

fn existing<'a>(view: &'a View, name: &Name) -> Result<&'a Arc<Service>, RegistryError> {
    view.get(name).ok_or_else(|| RegistryError::UnknownService {
        name: name.to_string(),
    })
}

fn change(
    view: &View,
    name: Name,
    expect: Expect,
    edit: impl FnOnce(&mut ServiceEntry),
) -> Result<Plan, RegistryError> {
    let found = existing(view, &name)?;
    check(&name, Some(found), expect)?;
    let mut entry = found.entry().clone();
    edit(&mut entry);
    put(name, Some(found), entry)
}

fn put(
    name: Name,
    found: Option<&Arc<Service>>,
    entry: ServiceEntry,
) -> Result<Plan, RegistryError> {
    if let Some(service) = found {
        if *service.entry() == entry {
            return Ok(Plan::Unchanged(name));
        }
        check_schema(&name, service)?;
    }
    let image = Image::new(Record::Service(entry))?;
    Ok(Plan::Put(name, image))
}

/// What a newer program appended would be lost.
fn check_schema(name: &Name, found: &Service) -> Result<(), RegistryError> {
    let schema = found.record().image.schema();
    if schema.is_known() {
        return Ok(());
    }
    Err(RegistryError::SchemaTooNew {
        name: name.to_string(),
        found: schema,
    })
}

fn check(name: &Name, found: Option<&Arc<Service>>, expect: Expect) -> Result<(), RegistryError> {
    let modified = found.map_or(Revision::ZERO, |service| service.modified());
    match (expect, found) {
        (Expect::Absent, Some(service)) => Err(RegistryError::AlreadyExists {
            name: name.to_string(),
            created: service.created(),
        }),
        (Expect::At(expected), _) if expected != modified => Err(RegistryError::StaleRevision {
            name: name.to_string(),
            expected,
            found: modified,
        }),
        _ => Ok(()),
    }
}

/// Checks a context before it is queued.
pub(super) fn check_context(context: &super::command::Context) -> Result<(), ModelError> {
    use crate::limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX};
    use crate::model::check_text;
    check_text("actor", &context.actor, NAME_BYTES_MAX)?;
    check_text(
        "reason",
        context.reason.as_deref().unwrap_or_default(),
        TEXT_BYTES_MAX,
    )?;
    check_text(
        "idempotency_key",
        context.idempotency_key.as_deref().unwrap_or_default(),
        NAME_BYTES_MAX,
    )
}
