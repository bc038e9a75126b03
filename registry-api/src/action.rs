//! What can be asked: the table that every face is checked against.

/// What an action does to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It reads.
    Read,
    /// It commits.
    Write,
    /// It belongs to the connection.
    Session,
    /// It is answered `Unsupported` by this build.
    Unsupported,
}

/// A route of the HTTP face by which an action is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path; a segment in braces is a parameter.
    pub path: &'static str,
}

const fn get(path: &'static str) -> Route {
    Route {
        method: "GET",
        path,
    }
}

const fn put(path: &'static str) -> Route {
    Route {
        method: "PUT",
        path,
    }
}

const fn patch(path: &'static str) -> Route {
    Route {
        method: "PATCH",
        path,
    }
}

const fn post(path: &'static str) -> Route {
    Route {
        method: "POST",
        path,
    }
}

const fn delete(path: &'static str) -> Route {
    Route {
        method: "DELETE",
        path,
    }
}

/// One action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionSpec {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it does to the registry.
    pub effect: Effect,
    /// Its routes in the HTTP face. None where the end of the request does it.
    pub routes: &'static [Route],
    /// One line for the documentation.
    pub summary: &'static str,
}

const fn action(name: &'static str, effect: Effect, summary: &'static str) -> ActionSpec {
    ActionSpec {
        name,
        effect,
        routes: &[],
        summary,
    }
}

/// Where Prometheus finds its targets: the route of a list in a form of its own.
pub const PROMETHEUS_TARGETS: &str = "/v1/sd/prometheus";

/// Every action.
pub const ACTIONS: &[ActionSpec] = &[
    action(
        "list_services",
        Effect::Read,
        "services that fit a filter, page by page from one snapshot",
    )
    .at(&[get("/v1/services")]),
    action("get_service", Effect::Read, "one service").at(&[
        get("/v1/services/{name}"),
        get("/v1/services/{name}/state"),
        get("/v1/services/{name}/health"),
    ]),
    action(
        "list_endpoints",
        Effect::Read,
        "endpoints of the services that fit a filter, page by page",
    )
    .at(&[get("/v1/endpoints"), get("/v1/services/{name}/endpoints")]),
    action(
        "service_history",
        Effect::Read,
        "log entries that changed one service",
    )
    .at(&[get("/v1/services/{name}/history")]),
    action(
        "list_log",
        Effect::Read,
        "log entries that fit a filter, of every service: the audit",
    )
    .at(&[get("/v1/log")]),
    action(
        "service_dependencies",
        Effect::Read,
        "what a service needs, or what needs it",
    )
    .at(&[get("/v1/services/{name}/dependencies")]),
    action(
        "registry_info",
        Effect::Read,
        "backend, durability, revision, hash, counts",
    )
    .at(&[get("/v1/info")]),
    action(
        "snapshot",
        Effect::Read,
        "the whole state at one revision, page by page",
    )
    .at(&[get("/v1/snapshot")]),
    action(
        "register_service",
        Effect::Write,
        "puts an entry under its name",
    )
    .at(&[put("/v1/services/{name}")]),
    action(
        "update_service",
        Effect::Write,
        "changes some fields of an entry",
    )
    .at(&[patch("/v1/services/{name}")]),
    action("deregister_service", Effect::Write, "removes an entry")
        .at(&[delete("/v1/services/{name}")]),
    action("set_service_state", Effect::Write, "sets the run state")
        .at(&[put("/v1/services/{name}/state")]),
    action(
        "report_health",
        Effect::Write,
        "tells what a health check observed",
    )
    .at(&[put("/v1/services/{name}/health")]),
    action(
        "replace_endpoints",
        Effect::Write,
        "replaces all endpoints of a service",
    )
    .at(&[put("/v1/services/{name}/endpoints")]),
    action(
        "list_instances",
        Effect::Read,
        "instances that fit a filter, page by page from one snapshot",
    )
    .at(&[
        get("/v1/instances"),
        get("/v1/services/{name}/instances"),
        get(PROMETHEUS_TARGETS),
    ]),
    action("get_instance", Effect::Read, "one instance")
        .at(&[get("/v1/services/{name}/instances/{id}")]),
    action(
        "resolve_service",
        Effect::Read,
        "the instances of a service that a caller may use, in the order in which to try them",
    )
    .at(&[get("/v1/services/{name}/resolve")]),
    action(
        "explain_instances",
        Effect::Read,
        "why each instance of a service is in that answer or not",
    )
    .at(&[
        get("/v1/services/{name}/explain"),
        get("/v1/services/{name}/instances/{id}/explain"),
    ]),
    action(
        "get_service_policy",
        Effect::Read,
        "the rules for the instances of a service: its own, and those in force",
    )
    .at(&[get("/v1/services/{name}/policy")]),
    action(
        "register_instance",
        Effect::Write,
        "lists an instance and begins its lease; the same incarnation again renews it",
    )
    .at(&[
        put("/v1/services/{name}/instances/{id}"),
        post("/v1/services/{name}/instances"),
    ]),
    action(
        "deregister_instance",
        Effect::Write,
        "takes an instance off the list",
    )
    .at(&[delete("/v1/services/{name}/instances/{id}")]),
    action(
        "heartbeat",
        Effect::Write,
        "renews the lease of an instance; one that is unknown and says what it is registers where the policy allows",
    )
    .at(&[put("/v1/services/{name}/instances/{id}/heartbeat")]),
    action("heartbeats", Effect::Write, "renews many leases")
        .at(&[post("/v1/heartbeats")]),
    action(
        "report_instance_health",
        Effect::Write,
        "tells what a health check of an instance observed",
    )
    .at(&[put("/v1/services/{name}/instances/{id}/health")]),
    action(
        "set_instance_intent",
        Effect::Write,
        "enables, drains or disables an instance",
    )
    .at(&[put("/v1/services/{name}/instances/{id}/intent")]),
    action(
        "set_instance_lifecycle",
        Effect::Write,
        "lets a pending instance in, or back out",
    )
    .at(&[put("/v1/services/{name}/instances/{id}/lifecycle")]),
    action(
        "set_service_policy",
        Effect::Write,
        "sets the rules for the instances of a service",
    )
    .at(&[put("/v1/services/{name}/policy")]),
    action(
        "release_protection",
        Effect::Write,
        "ends the leases of a service that mass-expiry protection holds back",
    )
    .at(&[post("/v1/services/{name}/protection/release")]),
    action(
        "subscribe",
        Effect::Session,
        "sends a snapshot and every change after it, or resumes after a revision",
    )
    .at(&[get("/v1/watch")]),
    action(
        "unsubscribe",
        Effect::Session,
        "ends one subscription or all",
    ),
    action(
        "ping",
        Effect::Session,
        "answers with the time and the revision",
    )
    .at(&[get("/v1/ping")]),
    action(
        "service_action",
        Effect::Unsupported,
        "starts, stops or restarts a service",
    )
    .at(&[post("/v1/services/{name}/actions")]),
    action(
        "deploy_package",
        Effect::Unsupported,
        "deploys a package to a host",
    )
    .at(&[post("/v1/packages")]),
];

impl ActionSpec {
    const fn at(mut self, routes: &'static [Route]) -> Self {
        self.routes = routes;
        self
    }

    /// The action of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ACTIONS.iter().find(|action| action.name == name)
    }
}
