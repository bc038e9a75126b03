//! Who needs whom, along the entries' `depends_on`. Cycles and unknown names are legal and told.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::view::View;
use crate::model::Name;

/// Most services that one answer lists.
pub const DEPENDENCIES_LISTED_MAX: usize = 10_000;

/// Which way to follow `depends_on`.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To what the service needs.
    #[default]
    Down,
    /// To what needs the service.
    Up,
}

/// One service on the way.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// Its name.
    pub name: Name,
    /// Steps from the service asked for, at least 1.
    pub distance: u32,
    /// Whether there is an entry of that name.
    pub is_known: bool,
}

/// The services that can be reached, nearest first and then by name.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Dependencies {
    /// Each once.
    pub services: Vec<Dependency>,
    /// Whether the service asked for can be reached from itself.
    pub is_cyclic: bool,
    /// Whether there are more than the list may hold.
    pub is_truncated: bool,
}

impl View {
    /// Follows `depends_on` from a service, at most `distance_max` steps. Linear in what it visits; upwards also as
    /// [`dependents`](Self::dependents) is.
    pub fn dependencies(
        &self,
        name: &Name,
        direction: Direction,
        distance_max: u32,
    ) -> Dependencies {
        let mut found = Dependencies::default();
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([(name.clone(), 0)]);
        while let Some((current, distance)) = queue.pop_front() {
            if distance == distance_max {
                continue;
            }
            for next in self.neighbours(&current, direction) {
                found.is_cyclic |= next == *name;
                if next == *name || !seen.insert(next.clone()) {
                    continue;
                }
                if found.services.len() == DEPENDENCIES_LISTED_MAX {
                    found.is_truncated = true;
                    return found;
                }
                let is_known = self.get(&next).is_some();
                found.services.push(Dependency {
                    name: next.clone(),
                    distance: distance + 1,
                    is_known,
                });
                queue.push_back((next, distance + 1));
            }
        }
        found
    }

    /// In order, each once.
    fn neighbours(&self, name: &Name, direction: Direction) -> BTreeSet<Name> {
        match direction {
            Direction::Up => self.dependents(name).iter().cloned().collect(),
            Direction::Down => {
                let service = self.get(name);
                let names = service
                    .iter()
                    .flat_map(|service| &service.entry().depends_on);
                names.filter_map(|name| Name::new(name).ok()).collect()
            }
        }
    }
}
