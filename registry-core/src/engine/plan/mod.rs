//! Plans: what a command means on a view. Pure: no await, no clock, no random, no I/O.

mod instance;
mod service;

use std::sync::Arc;

use super::command::{Action, Command, Context, Expect};
use super::error::RegistryError;
use super::view::View;
use crate::key::Key;
use crate::model::{KeeperEntry, ModelError, ServicePolicy};
use crate::record::{Image, Record, Versioned};
use crate::revision::Revision;
use crate::time::Timestamp;

/// What a command comes to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Plan {
    /// Put the record.
    Put(Arc<Image>),
    /// Put the record at the next revision and no other: the record names it.
    PutNext(Arc<Image>),
    /// Delete the record at the key.
    Delete(Key),
    /// Everything is as asked for already.
    Unchanged(Key),
    /// The health is as reported already; only the time of the report is new.
    Confirmed(Key, Timestamp),
    /// The lease is renewed, and nothing else is to be changed.
    Renewed(Key),
}

/// Plans a command on a view.
///
/// # Errors
/// [`RegistryError`] for what the caller must change or decide again; never a store's failure.
pub fn plan(view: &View, command: &Command) -> Result<Plan, RegistryError> {
    match &command.action {
        Action::Register { image, expect } => service::register(view, image, *expect),
        Action::Update {
            name,
            patch,
            expect,
        } => service::change(view, name, *expect, |entry| patch.clone().apply(entry)),
        Action::SetState {
            name,
            state,
            expect,
        } => service::change(view, name, *expect, |entry| entry.state = state.clone()),
        Action::ReplaceEndpoints {
            name,
            endpoints,
            expect,
        } => service::change(view, name, *expect, |entry| {
            entry.endpoints.clone_from(endpoints);
        }),
        Action::ReportHealth {
            name,
            health,
            expect,
        } => service::report_health(view, name, health, *expect),
        Action::Deregister { name, expect } => service::deregister(view, name, *expect),
        Action::Instance(action) => instance::plan(view, command, action),
        Action::SetPolicy { policy, expect } => plan_policy(view, policy, *expect),
        Action::PutKeeper { keeper, expect } => plan_keeper(view, keeper, *expect),
        Action::ForgetKeeper { id, expect } => {
            let key = Key::keeper(id)?;
            let found = view.record(&key);
            check(&key, found.as_ref(), *expect)?;
            Ok(match found {
                Some(_) => Plan::Delete(key),
                None => Plan::Unchanged(key),
            })
        }
    }
}

fn plan_policy(view: &View, policy: &ServicePolicy, expect: Expect) -> Result<Plan, RegistryError> {
    let key = Key::policy(&policy.service)?;
    let found = view.record(&key);
    let found = found.as_ref();
    check(&key, found, expect)?;
    let says_nothing = *policy
        == ServicePolicy {
            service: policy.service.clone(),
            ..ServicePolicy::default()
        };
    match found {
        Some(record) if says_nothing => {
            check_schema(&key, record)?;
            Ok(Plan::Delete(key))
        }
        None if says_nothing => Ok(Plan::Unchanged(key)),
        found => put(&key, found, Record::Policy(policy.clone())),
    }
}

fn plan_keeper(view: &View, keeper: &KeeperEntry, expect: Expect) -> Result<Plan, RegistryError> {
    let key = Key::keeper(&keeper.id)?;
    let found = view.record(&key);
    let found = found.as_ref();
    check(&key, found, expect)?;
    put(&key, found, Record::Keeper(keeper.clone()))
}

/// Puts a record where it is another than the one that is there.
fn put(key: &Key, found: Option<&Versioned>, record: Record) -> Result<Plan, RegistryError> {
    if is_there(key, found, &record)? {
        return Ok(Plan::Unchanged(key.clone()));
    }
    Ok(Plan::Put(Image::new(record)?))
}

/// Whether the record is there already. Another one that is there must be of a schema that may be written over.
fn is_there(key: &Key, found: Option<&Versioned>, record: &Record) -> Result<bool, RegistryError> {
    let Some(found) = found else {
        return Ok(false);
    };
    if found.image.record() == record {
        return Ok(true);
    }
    check_schema(key, found).map(|()| false)
}

/// What a newer program appended would be lost.
fn check_schema(key: &Key, found: &Versioned) -> Result<(), RegistryError> {
    let schema = found.image.schema();
    if schema.is_known() {
        return Ok(());
    }
    Err(RegistryError::SchemaTooNew {
        key: key.clone(),
        found: schema,
    })
}

fn check(key: &Key, found: Option<&Versioned>, expect: Expect) -> Result<(), RegistryError> {
    let modified = found.map_or(Revision::ZERO, |record| record.modified);
    match (expect, found) {
        (Expect::Absent, Some(record)) => Err(RegistryError::AlreadyExists {
            key: key.clone(),
            created: record.created,
        }),
        (Expect::At(expected), _) if expected != modified => Err(RegistryError::StaleRevision {
            key: key.clone(),
            expected,
            found: modified,
        }),
        _ => Ok(()),
    }
}

/// Checks a context before it is queued.
pub(super) fn check_context(context: &Context) -> Result<(), ModelError> {
    use crate::limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX};
    use crate::model::{check_present, check_text};
    check_text("actor", &context.actor, NAME_BYTES_MAX)?;
    check_text(
        "reason",
        context.reason.as_deref().unwrap_or_default(),
        TEXT_BYTES_MAX,
    )?;
    match &context.idempotency_key {
        // An empty one would make one change of all those that forgot theirs.
        Some(key) => check_present("idempotency_key", key, NAME_BYTES_MAX),
        None => Ok(()),
    }
}
