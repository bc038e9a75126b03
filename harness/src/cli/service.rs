//! `harness service`: the actions of the protocol as commands.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::ask::{WriteArgs, array, ask, ask_or_create, list, print_written, take};
use super::client::Target;
use super::entry::{self, EntryArgs};
use super::output::{self, Column, Format, text};
use super::resolve::{self, ResolveArgs};
use super::wait::{self, WaitArgs};
use super::watch::{self, WatchArgs};

/// Verbs of `harness service`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Puts an entry under its name, new or not.
    Register {
        #[command(flatten)]
        entry: Box<EntryArgs>,
        #[command(flatten)]
        write: WriteArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Lists services.
    List {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Shows one service.
    Get {
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Removes an entry.
    Deregister {
        name: String,
        #[command(flatten)]
        write: WriteArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Sets the run state: registered, starting, running, stopping, stopped or failed[:REASON].
    SetState {
        name: String,
        state: String,
        #[command(flatten)]
        write: WriteArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Tells what a health check observed: passing, warning, critical or unknown.
    ReportHealth {
        name: String,
        health: String,
        /// The check's own words.
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Lists the endpoints of services.
    Endpoints {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Lists what a service needs, or with --up what needs it.
    Dependencies {
        name: String,
        /// What needs it instead of what it needs.
        #[arg(long)]
        up: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Lists what happened to a service, from the log.
    History {
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Lists the instances that a caller may use, in the order in which to try them.
    Resolve {
        name: String,
        #[command(flatten)]
        resolve: ResolveArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Waits until the instances of a service are as they should be; exit code 8 where they are not in time.
    Wait {
        name: String,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Prints every change as it comes, from a snapshot on or after a revision.
    Watch {
        #[command(flatten)]
        watch: WatchArgs,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        target: Target,
    },
}

/// Which services.
#[derive(Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// The name begins so.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// The run state is this; may be repeated.
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// The health is this; may be repeated.
    #[arg(long, value_name = "HEALTH")]
    health: Vec<String>,
    /// An endpoint speaks this.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// It depends on this service.
    #[arg(long, value_name = "NAME")]
    depends_on: Option<String>,
}

impl FilterArgs {
    /// The filter of the protocol.
    pub(crate) fn to_json(&self) -> Value {
        let mut filter = json!({ "states": self.state, "health": self.health });
        for (key, value) in [
            ("prefix", &self.prefix),
            ("protocol", &self.protocol),
            ("depends_on", &self.depends_on),
        ] {
            if let Some(value) = value {
                filter[key] = json!(value);
            }
        }
        filter
    }
}

const SERVICE_COLUMNS: &[Column] = &[
    ("NAME", |row| text(&row["name"])),
    ("VERSION", |row| text(&row["version"])),
    ("STATE", |row| text(&state_name(&row["state"]))),
    ("HEALTH", |row| text(&row["last_health_check"]["status"])),
    ("ENDPOINTS", |row| {
        row["endpoints"].as_array().map_or(0, Vec::len).to_string()
    }),
    ("REVISION", |row| text(&row["revision"])),
];

const ENDPOINT_COLUMNS: &[Column] = &[
    ("SERVICE", |row| text(&row["service"])),
    ("NAME", |row| text(&row["name"])),
    ("ADDRESS", |row| text(&row["address"])),
    ("PROTOCOL", |row| text(&row["protocol"])),
    ("STATE", |row| text(&state_name(&row["state"]))),
    ("HEALTH", |row| text(&row["health"])),
];

const DEPENDENCY_COLUMNS: &[Column] = &[
    ("NAME", |row| text(&row["name"])),
    ("DISTANCE", |row| text(&row["distance"])),
    ("KNOWN", |row| text(&row["is_known"])),
];

const HISTORY_COLUMNS: &[Column] = &[
    ("REVISION", |row| text(&row["revision"])),
    ("TIME", |row| text(&row["time"])),
    ("ACTION", |row| text(&row["action"])),
    ("ACTOR", |row| text(&row["actor"])),
    ("STATE", |row| text(&state_name(&row["after"]["state"]))),
    ("VERSION", |row| text(&row["after"]["version"])),
    ("REASON", |row| text(&row["reason"])),
];

/// The name of a state, whose failure has its reason inside.
pub(crate) fn state_name(state: &Value) -> Value {
    match state.as_object().and_then(|failed| failed.keys().next()) {
        Some(name) => json!(name),
        None => state.clone(),
    }
}

/// Runs a verb.
pub(crate) async fn run(verb: Verb, format: Format) -> Result<ExitCode> {
    match verb {
        Verb::Get { name, target } => {
            let service = ask(&target, "get_service", json!({ "name": name })).await?;
            output::print_one(format, &service)?;
        }
        Verb::List { filter, target } => {
            let services = list(&target, "list_services", "services", filter.to_json()).await?;
            output::print_list(format, &services, SERVICE_COLUMNS)?;
        }
        Verb::Endpoints { filter, target } => {
            let endpoints = list(&target, "list_endpoints", "endpoints", filter.to_json()).await?;
            output::print_list(format, &endpoints, ENDPOINT_COLUMNS)?;
        }
        Verb::Dependencies { name, up, target } => {
            let direction = if up { "up" } else { "down" };
            let params = json!({ "name": name, "direction": direction });
            let found = ask(&target, "service_dependencies", params).await?;
            output::print_list(format, array(&found["services"]), DEPENDENCY_COLUMNS)?;
        }
        Verb::History { name, target } => {
            let entries = history(&target, &name).await?;
            output::print_list(format, &entries, HISTORY_COLUMNS)?;
        }
        Verb::Resolve {
            name,
            resolve,
            target,
        } => resolve::run(&target, &name, &resolve, format).await?,
        Verb::Wait { name, wait, target } => wait::run(&target, &name, &wait, format).await?,
        Verb::Watch {
            watch,
            filter,
            target,
        } => watch::run(&target, &watch, &filter, format).await?,
        write => change(write, format).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a verb that changes a service.
async fn change(verb: Verb, format: Format) -> Result<()> {
    let written = match verb {
        Verb::Register {
            entry,
            write,
            target,
        } => {
            let params = write.add_to(json!({ "service": entry.entry()? }));
            ask_or_create(&target, "register_service", params).await?
        }
        Verb::Deregister {
            name,
            write,
            target,
        } => {
            let params = write.add_to(json!({ "name": name }));
            ask(&target, "deregister_service", params).await?
        }
        Verb::SetState {
            name,
            state,
            write,
            target,
        } => {
            let params = write.add_to(json!({ "name": name, "state": entry::state(&state)? }));
            ask(&target, "set_service_state", params).await?
        }
        Verb::ReportHealth {
            name,
            health,
            message,
            target,
        } => {
            let params = json!({ "name": name, "status": health, "message": message });
            ask(&target, "report_health", params).await?
        }
        other => unreachable!("{other:?} changes no service"),
    };
    print_written(format, &written)
}

async fn history(target: &Target, name: &str) -> Result<Vec<Value>> {
    let mut client = target.open(false).await?;
    let mut entries = Vec::new();
    let mut params = json!({ "name": name });
    loop {
        let mut page = client.call("service_history", &params).await?;
        entries.extend(take(&mut page["entries"]));
        if page["next_after"].is_null() {
            break;
        }
        params["after"] = page["next_after"].take();
    }
    client.close().await?;
    Ok(entries)
}
