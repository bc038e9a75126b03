//! Plans of what is asked of a service.

use std::sync::Arc;

use super::{Plan, check, check_schema, is_there, put};
use crate::engine::command::Expect;
use crate::engine::error::RegistryError;
use crate::engine::view::{Service, View};
use crate::key::Key;
use crate::model::{HealthStatus, ServiceEntry};
use crate::record::{Image, Record};

pub(super) fn register(
    view: &View,
    image: &Arc<Image>,
    expect: Expect,
) -> Result<Plan, RegistryError> {
    let key = image.key();
    let found = view.record(key);
    let found = found.as_ref();
    check(key, found, expect)?;
    if is_there(key, found, image.record())? {
        return Ok(Plan::Unchanged(key.clone()));
    }
    Ok(Plan::Put(Arc::clone(image)))
}

pub(super) fn change(
    view: &View,
    name: &str,
    expect: Expect,
    edit: impl FnOnce(&mut ServiceEntry),
) -> Result<Plan, RegistryError> {
    let key = Key::service(name)?;
    let service = existing(view, name)?;
    check(&key, Some(service.record()), expect)?;
    let mut entry = service.entry().clone();
    edit(&mut entry);
    put(&key, Some(service.record()), Record::Service(entry))
}

pub(super) fn report_health(
    view: &View,
    name: &str,
    health: &HealthStatus,
    expect: Expect,
) -> Result<Plan, RegistryError> {
    let key = Key::service(name)?;
    let service = existing(view, name)?;
    let known = service.entry().last_health_check.as_ref();
    if known.is_some_and(|known| known.says_the_same_as(health)) {
        check(&key, Some(service.record()), expect)?;
        return Ok(Plan::Confirmed(key, health.checked_at));
    }
    change(view, name, expect, |entry| {
        entry.last_health_check = Some(health.clone());
    })
}

pub(super) fn deregister(view: &View, name: &str, expect: Expect) -> Result<Plan, RegistryError> {
    let key = Key::service(name)?;
    let service = existing(view, name)?;
    check(&key, Some(service.record()), expect)?;
    check_schema(&key, service.record())?;
    Ok(Plan::Delete(key))
}

fn existing(view: &View, name: &str) -> Result<Arc<Service>, RegistryError> {
    view.get(name).ok_or_else(|| RegistryError::UnknownService {
        name: name.to_owned(),
    })
}
