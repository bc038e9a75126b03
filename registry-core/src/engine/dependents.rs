//! Who depends on whom, turned around: made when it is first asked for, and not at each registration.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::view::Service;
use crate::model::Name;

/// For each name, the services that depend on it. Names without a service are here, too.
///
/// A registration would change a tree for each service that it names, most of what it costs in a view; few ask for what
/// comes of that.
#[derive(Debug, Clone, Default)]
pub(super) struct Dependents(Arc<OnceLock<HashMap<Name, Vec<Name>>>>);

impl Dependents {
    /// Names of the services that depend on `name`, in order. The first call reads all services.
    pub(super) fn of<'a, 's>(
        &'a self,
        name: &str,
        services: impl Iterator<Item = &'s Arc<Service>>,
    ) -> &'a [Name] {
        let all = self.0.get_or_init(|| turned_around(services));
        all.get(name).map_or(&[], Vec::as_slice)
    }

    /// Forgets what was made: services depend on others now. Older views keep theirs.
    pub(super) fn forget(&mut self) {
        match Arc::get_mut(&mut self.0) {
            Some(made) => drop(made.take()),
            None => *self = Self::default(),
        }
    }
}

/// `services` come in the order of their names, and so do those of each list.
fn turned_around<'s>(services: impl Iterator<Item = &'s Arc<Service>>) -> HashMap<Name, Vec<Name>> {
    let mut all: HashMap<Name, Vec<Name>> = HashMap::new();
    for service in services {
        for needed in &service.entry().depends_on {
            let of_needed = match all.get_mut(needed.as_str()) {
                Some(names) => names,
                // The model checked it when the record was made.
                None => match Name::new(needed) {
                    Ok(needed) => all.entry(needed).or_default(),
                    Err(_) => continue,
                },
            };
            // An entry may name a service twice.
            if of_needed.last() != Some(service.name()) {
                of_needed.push(service.name().clone());
            }
        }
    }
    all
}
