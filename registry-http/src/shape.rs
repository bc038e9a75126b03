//! What each route takes: path, query, body, and what it tags its answer with.

use registry_api::{ActionSpec, Effect, PROMETHEUS_TARGETS, Route};

/// What stands in a path or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    /// A text of a list; a query may have several of the name.
    Texts,
    /// `key=value`; a query may have several of the name.
    Pairs,
    Number,
    Flag,
}

/// A parameter of the path or the query, with its place among the action's parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) place: &'static [&'static str],
}

const fn param(name: &'static str, form: Form, place: &'static [&'static str]) -> Param {
    Param { name, form, place }
}

const STALE: Param = param("stale", Form::Flag, &["stale"]);
const LIMIT: Param = param("limit", Form::Number, &["limit"]);
const CURSOR: Param = param("cursor", Form::Text, &["cursor"]);
const NAMES: Param = param("name", Form::Texts, &["filter", "names"]);
const PREFIX: Param = param("prefix", Form::Text, &["filter", "prefix"]);
const STATES: Param = param("state", Form::Texts, &["filter", "states"]);
const HEALTH: Param = param("health", Form::Texts, &["filter", "health"]);
const VERSION: Param = param("version", Form::Text, &["filter", "version"]);
const PROTOCOL: Param = param("protocol", Form::Text, &["filter", "protocol"]);
const DEPENDS_ON: Param = param("depends_on", Form::Text, &["filter", "depends_on"]);

const LIST: &[Param] = &[
    NAMES, PREFIX, STATES, HEALTH, VERSION, PROTOCOL, DEPENDS_ON, LIMIT, CURSOR, STALE,
];
const ENDPOINTS_OF_ONE: &[Param] = &[STATES, HEALTH, PROTOCOL, LIMIT, CURSOR, STALE];
const HISTORY: &[Param] = &[param("after", Form::Number, &["after"]), LIMIT];
const INSTANCE_HEALTH: Param = param("health", Form::Texts, &["filter", "health"]);
const IN_ZONE: Param = param("zone", Form::Text, &["filter", "zone"]);
const IN_REGION: Param = param("region", Form::Text, &["filter", "region"]);
const TAGS: Param = param("tag", Form::Texts, &["filter", "tags"]);
const METADATA: Param = param("metadata", Form::Pairs, &["filter", "metadata"]);
const INTENT: Param = param("intent", Form::Texts, &["filter", "intent"]);
const LIFECYCLE: Param = param("lifecycle", Form::Texts, &["filter", "lifecycle"]);
const STOPPED: Param = param("stopped", Form::Flag, &["filter", "stopped"]);
const INCARNATION: Param = param("incarnation", Form::Number, &["incarnation"]);

const INSTANCES: &[Param] = &[
    param("service", Form::Text, &["filter", "service"]),
    INSTANCE_HEALTH,
    IN_ZONE,
    IN_REGION,
    TAGS,
    METADATA,
    INTENT,
    LIFECYCLE,
    VERSION,
    STOPPED,
    LIMIT,
    CURSOR,
    STALE,
];
/// Targets come all at once.
const TARGETS: &[Param] = INSTANCES.split_at(10).0;
/// Those of one service: the path has its name.
const INSTANCES_OF_ONE: &[Param] = INSTANCES.split_at(1).1;
const RESOLVE: &[Param] = &[
    param("strategy", Form::Text, &["strategy"]),
    param("zone", Form::Text, &["zone"]),
    param("region", Form::Text, &["region"]),
    INSTANCE_HEALTH,
    TAGS,
    METADATA,
    VERSION,
    LIMIT,
];
const EXPLAIN: &[Param] = &[INSTANCE_HEALTH, IN_ZONE, IN_REGION, TAGS, METADATA, VERSION];
const REGISTER_INSTANCE: &[Param] = &[INCARNATION, param("bind", Form::Text, &["bind"])];
const LOG: &[Param] = &[
    param("actor", Form::Text, &["actor"]),
    param("service", Form::Text, &["service"]),
    param("action", Form::Text, &["action"]),
    param("since", Form::Text, &["since"]),
    param("until", Form::Text, &["until"]),
    param("after", Form::Number, &["after"]),
    LIMIT,
];
const DEPENDENCIES: &[Param] = &[
    param("direction", Form::Text, &["direction"]),
    param("distance_max", Form::Number, &["distance_max"]),
];
const WATCH: &[Param] = &[
    NAMES,
    PREFIX,
    STATES,
    HEALTH,
    VERSION,
    PROTOCOL,
    DEPENDS_ON,
    param("event", Form::Texts, &["events"]),
    param("after", Form::Number, &["resume_after"]),
    // Read by the face: how long a poll may wait.
    param(WAIT, Form::Text, &[WAIT]),
];
/// The parameter that makes a long poll of a watch.
pub(crate) const WAIT: &str = "wait";

/// What the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// There is none.
    None,
    /// Its fields are parameters of the action.
    Fields,
    /// The same, and it may be left out.
    FieldsIfAny,
    /// It is one parameter of the action, an object that has the parameters of the path among its fields.
    Named(&'static str),
    /// It is one parameter of the action, an object.
    One(&'static str),
}

/// What the entity tag of an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// There is none.
    None,
    /// The revision of the record that was answered.
    Record,
    /// The revision that the answer reflects.
    View,
}

/// One route with everything that turns a request into parameters, and an answer into a response.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) action: &'static ActionSpec,
    pub(crate) route: Route,
    /// Parameters of the path. A body that has them among its fields may repeat them.
    pub(crate) path: Vec<Param>,
    pub(crate) query: &'static [Param],
    pub(crate) body: BodyRule,
    pub(crate) tag: Tag,
    /// The fields of the answer that are given; all where there are none.
    pub(crate) part: &'static [&'static str],
}

impl Shape {
    /// The shape of a route of the table.
    pub(crate) fn of(action: &'static ActionSpec, route: Route) -> Self {
        let has_body = action.effect != Effect::Read && !matches!(route.method, "GET" | "DELETE");
        let mut shape = Self {
            action,
            route,
            path: names_in(route.path)
                .map(|name| own_field(action.name, name))
                .collect(),
            query: &[],
            body: if has_body {
                BodyRule::Fields
            } else {
                BodyRule::None
            },
            tag: Tag::None,
            part: &[],
        };
        match action.name {
            "list_services" => shape.reads(LIST, Tag::View),
            "list_endpoints" => {
                let of_one = !shape.path.is_empty();
                shape.reads(if of_one { ENDPOINTS_OF_ONE } else { LIST }, Tag::View);
                shape.path.iter_mut().for_each(|name| *name = NAMES);
            }
            "get_service" => {
                shape.reads(&[STALE], Tag::Record);
                shape.part = match route.path.rsplit('/').next() {
                    Some("state") => &["name", "state", "revision"],
                    Some("health") => &["name", "last_health_check", "revision"],
                    _ => &[],
                };
            }
            "service_history" => shape.reads(HISTORY, Tag::View),
            "list_log" => shape.reads(LOG, Tag::View),
            "service_dependencies" => shape.reads(DEPENDENCIES, Tag::View),
            "register_service" => shape.body = BodyRule::Named("service"),
            "update_service" => shape.body = BodyRule::One("changes"),
            "list_instances" if route.path == PROMETHEUS_TARGETS => {
                shape.reads(TARGETS, Tag::None);
            }
            "list_instances" => {
                let of_one = !shape.path.is_empty();
                shape.reads(if of_one { INSTANCES_OF_ONE } else { INSTANCES }, Tag::View);
                shape
                    .path
                    .iter_mut()
                    .for_each(|name| name.place = &["filter", "service"]);
            }
            "get_instance" => shape.reads(&[STALE], Tag::Record),
            "resolve_service" => shape.reads(RESOLVE, Tag::None),
            "explain_instances" => shape.reads(EXPLAIN, Tag::None),
            "register_instance" => {
                shape.query = REGISTER_INSTANCE;
                shape.body = BodyRule::Named("instance");
            }
            "deregister_instance" => shape.query = &[INCARNATION],
            "heartbeat" | "release_protection" => shape.body = BodyRule::FieldsIfAny,
            "set_service_policy" => shape.body = BodyRule::One("policy"),
            "subscribe" => shape.query = WATCH,
            _ => {}
        }
        shape
    }

    fn reads(&mut self, query: &'static [Param], tag: Tag) {
        self.query = query;
        self.tag = tag;
    }

    /// Whether it changes the registry, and so takes the headers of a write.
    pub(crate) fn is_write(&self) -> bool {
        self.action.effect == Effect::Write
    }
}

/// Names of the parameters of a path.
pub(crate) fn names_in(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// Actions on instances call a service by another field than those on services.
fn own_field(action: &str, name: &'static str) -> Param {
    let of_instances = action.contains("instance")
        || action.contains("policy")
        || matches!(
            action,
            "resolve_service" | "heartbeat" | "release_protection"
        );
    match name {
        "name" if of_instances => param("name", Form::Text, &["service"]),
        "id" => param("id", Form::Text, &["instance_id"]),
        _ => param("name", Form::Text, &["name"]),
    }
}
