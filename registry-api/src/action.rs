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

/// One action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionSpec {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it does to the registry.
    pub effect: Effect,
    /// One line for the documentation.
    pub summary: &'static str,
}

const fn action(name: &'static str, effect: Effect, summary: &'static str) -> ActionSpec {
    ActionSpec {
        name,
        effect,
        summary,
    }
}

/// Every action.
pub const ACTIONS: &[ActionSpec] = &[
    action(
        "list_services",
        Effect::Read,
        "services that fit a filter, page by page from one snapshot",
    ),
    action("get_service", Effect::Read, "one service"),
    action(
        "list_endpoints",
        Effect::Read,
        "endpoints of the services that fit a filter, page by page",
    ),
    action(
        "service_history",
        Effect::Read,
        "log entries that changed one service",
    ),
    action(
        "list_log",
        Effect::Read,
        "log entries that fit a filter, of every service: the audit",
    ),
    action(
        "service_dependencies",
        Effect::Read,
        "what a service needs, or what needs it",
    ),
    action(
        "registry_info",
        Effect::Read,
        "backend, durability, revision, hash, counts",
    ),
    action(
        "register_service",
        Effect::Write,
        "puts an entry under its name",
    ),
    action(
        "update_service",
        Effect::Write,
        "changes some fields of an entry",
    ),
    action("deregister_service", Effect::Write, "removes an entry"),
    action("set_service_state", Effect::Write, "sets the run state"),
    action(
        "report_health",
        Effect::Write,
        "tells what a health check observed",
    ),
    action(
        "replace_endpoints",
        Effect::Write,
        "replaces all endpoints of a service",
    ),
    action(
        "subscribe",
        Effect::Session,
        "sends a snapshot and every change after it, or resumes after a revision",
    ),
    action(
        "unsubscribe",
        Effect::Session,
        "ends one subscription or all",
    ),
    action(
        "ping",
        Effect::Session,
        "answers with the time and the revision",
    ),
    action(
        "service_action",
        Effect::Unsupported,
        "starts, stops or restarts a service",
    ),
    action(
        "deploy_package",
        Effect::Unsupported,
        "deploys a package to a host",
    ),
];

impl ActionSpec {
    /// The action of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ACTIONS.iter().find(|action| action.name == name)
    }
}
