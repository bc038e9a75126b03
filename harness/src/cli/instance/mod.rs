//! `harness instance`: what runs of a service, and its leases.

mod exec;
mod explain;
mod filter;
mod heartbeat;
mod import;
mod policy;
mod spec;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use harness::core::Span;
use serde_json::{Value, json};

use self::filter::FilterArgs;
use self::import::ImportArgs;
use self::spec::SpecArgs;
use super::ask::{WriteArgs, ask, ask_or_create, list, print_written};
use super::client::Target;
use super::output::{self, Column, Format, text};

pub(crate) use self::filter::TraitArgs;
pub(crate) use self::spec::span;

/// Verbs of `harness instance`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Lists an instance and begins its lease; or runs a command, and lists it as long as it runs.
    Register {
        #[command(flatten)]
        spec: Box<SpecArgs>,
        /// Runs the command after --, keeps the lease while it runs, deregisters when it ends, and ends with its code.
        #[arg(long, requires = "command", conflicts_with_all = ["path", "if_revision", "reason", "idempotency_key"])]
        exec: bool,
        /// The command with its arguments.
        #[arg(last = true, requires = "exec", value_name = "COMMAND")]
        command: Vec<OsString>,
        #[command(flatten)]
        write: WriteArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Registers every instance of a file.
    Import {
        #[command(flatten)]
        import: ImportArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Lists instances, of one service or of all.
    List {
        service: Option<String>,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Shows one instance.
    Get {
        service: String,
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Renews a lease, once or until it is lost.
    Heartbeat {
        service: String,
        id: String,
        /// Which start of the instance beats; without it, the one that is known.
        #[arg(long, value_name = "NUMBER")]
        incarnation: Option<u64>,
        /// Again and again, with this time between.
        #[arg(long, value_name = "TIME", value_parser = span)]
        every: Option<Span>,
        #[command(flatten)]
        target: Target,
    },
    /// Takes an instance off the list.
    Deregister {
        service: String,
        id: String,
        /// Only this start of the instance, or one before it.
        #[arg(long, value_name = "NUMBER")]
        incarnation: Option<u64>,
        #[command(flatten)]
        write: WriteArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Has an instance finish what it has: callers are no longer sent to it.
    Drain(OneArgs),
    /// Sends callers to an instance again.
    Enable(OneArgs),
    /// Has an instance take nothing.
    Disable(OneArgs),
    /// Lets a pending instance in.
    Activate(OneArgs),
    /// Tells what a health check observed: passing, warning, critical or unknown.
    ReportHealth {
        service: String,
        id: String,
        health: String,
        /// The check's own words.
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Says of every instance of a service, or of one, why callers are sent to it or not.
    Explain {
        service: String,
        id: Option<String>,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        target: Target,
    },
    /// The rules for the instances of a service.
    #[command(subcommand)]
    Policy(policy::Verb),
    /// Ends the leases of a service that mass-expiry protection holds back.
    ReleaseProtection {
        service: String,
        /// Why; goes into the log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        target: Target,
    },
}

/// One instance that is to be changed.
#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    service: String,
    id: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    target: Target,
}

/// Columns of a list of instances.
pub(crate) const INSTANCE_COLUMNS: &[Column] = &[
    ("SERVICE", |row| text(&row["service"])),
    ("INSTANCE", |row| text(&row["instance_id"])),
    ("ADDRESS", address),
    ("ZONE", |row| text_or_dash(&row["zone"])),
    ("HEALTH", |row| text(&row["health"])),
    ("INTENT", intent),
    ("LEASE", lease),
    ("LAST SEEN", |row| text(&row["last_seen"])),
];

fn text_or_dash(value: &Value) -> String {
    match value.as_str() {
        Some("") => "-".to_owned(),
        _ => text(value),
    }
}

fn address(row: &Value) -> String {
    let host = text(&row["address"]);
    if host.contains(':') {
        format!("[{host}]:{}", row["port"])
    } else {
        format!("{host}:{}", row["port"])
    }
}

/// The intent, and that it is pending where it is.
fn intent(row: &Value) -> String {
    let intent = text(&row["intent"]);
    if row["lifecycle"] == "active" {
        intent
    } else {
        format!("{intent}, {}", text(&row["lifecycle"]))
    }
}

fn lease(row: &Value) -> String {
    let lease = if !row["stopped_at"].is_null() {
        "stopped"
    } else if !row["expired_at"].is_null() {
        "expired"
    } else if row["suspect"] == true {
        "suspect"
    } else {
        return text(&row["lease_ttl"]);
    };
    lease.to_owned()
}

/// Runs a verb.
pub(crate) async fn run(verb: Verb, format: Format) -> Result<ExitCode> {
    match verb {
        Verb::Register {
            spec,
            exec: true,
            command,
            target,
            ..
        } => return exec::run(&target, &spec, &command).await,
        Verb::Import { import, target } => return import::run(&target, &import, format).await,
        Verb::Register {
            spec,
            write,
            target,
            ..
        } => register(&target, &spec, &write, format).await?,
        Verb::List {
            service,
            filter,
            target,
        } => {
            let filter = filter.to_json(service.as_deref());
            let found = list(&target, "list_instances", "instances", filter).await?;
            output::print_list(format, &found, INSTANCE_COLUMNS)?;
        }
        Verb::Get {
            service,
            id,
            target,
        } => {
            let params = json!({ "service": service, "instance_id": id });
            output::print_one(format, &ask(&target, "get_instance", params).await?)?;
        }
        Verb::Heartbeat {
            service,
            id,
            incarnation,
            every,
            target,
        } => heartbeat::run(&target, &service, &id, incarnation, every, format).await?,
        Verb::Explain {
            service,
            id,
            filter,
            target,
        } => explain::run(&target, &service, id.as_deref(), &filter, format).await?,
        Verb::Policy(verb) => policy::run(verb, format).await?,
        other => change(other, format).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a verb that changes one instance, or ends protection.
async fn change(verb: Verb, format: Format) -> Result<()> {
    let (target, action, params) = match verb {
        Verb::Deregister {
            service,
            id,
            incarnation,
            write,
            target,
        } => {
            let params =
                json!({ "service": service, "instance_id": id, "incarnation": incarnation });
            (target, "deregister_instance", write.add_to(params))
        }
        Verb::Drain(one) => one.set("set_instance_intent", "intent", "draining"),
        Verb::Enable(one) => one.set("set_instance_intent", "intent", "enabled"),
        Verb::Disable(one) => one.set("set_instance_intent", "intent", "disabled"),
        Verb::Activate(one) => one.set("set_instance_lifecycle", "lifecycle", "active"),
        Verb::ReportHealth {
            service,
            id,
            health,
            message,
            target,
        } => {
            let params = json!({ "service": service, "instance_id": id, "status": health, "message": message });
            (target, "report_instance_health", params)
        }
        Verb::ReleaseProtection {
            service,
            reason,
            target,
        } => return release(&target, &service, reason.as_deref(), format).await,
        other => unreachable!("{other:?} changes no single instance"),
    };
    print_written(format, &ask(&target, action, params).await?)
}

impl OneArgs {
    fn set(self, action: &'static str, field: &str, value: &str) -> (Target, &'static str, Value) {
        let Self {
            service,
            id,
            write,
            target,
        } = self;
        let params = json!({ "service": service, "instance_id": id, (field): value });
        (target, action, write.add_to(params))
    }
}

async fn register(
    target: &Target,
    spec: &SpecArgs,
    write: &WriteArgs,
    format: Format,
) -> Result<()> {
    let params = json!({ "instance": spec.spec()?, "incarnation": spec.incarnation() });
    let written = ask_or_create(target, "register_instance", write.add_to(params)).await?;
    if format != Format::Table {
        return output::print_one(format, &written);
    }
    let instance = &written["instance"];
    let (service, id) = (text(&instance["service"]), text(&instance["instance_id"]));
    let (revision, incarnation) = (&written["revision"], &instance["incarnation"]);
    let did = if written["changed"] == true {
        "registered"
    } else {
        "renewed"
    };
    output::print_line(&format!(
        "{did} {service}/{id} at revision {revision}, incarnation {incarnation}"
    ))
}

async fn release(
    target: &Target,
    service: &str,
    reason: Option<&str>,
    format: Format,
) -> Result<()> {
    let params = json!({ "service": service, "reason": reason });
    let released = ask(target, "release_protection", params).await?;
    if format != Format::Table {
        return output::print_one(format, &released);
    }
    output::print_line(&format!("released {} instances", released["released"]))
}
