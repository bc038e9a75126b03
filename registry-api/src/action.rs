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
