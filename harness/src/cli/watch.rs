//! `harness service watch`: every change once, in order, across reconnects.

use anyhow::Result;
use clap::Args;
use registry_api::EventMessage;
use serde_json::{Value, json};

use super::ask::array;
use super::client::{Client, Target};
use super::output::{self, Format, text};
use super::reconnect::{is_gone, reconnect};
use super::service::{FilterArgs, state_name};

/// What is watched.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Begin after this revision instead of with a snapshot.
    #[arg(long, value_name = "REVISION")]
    after: Option<u64>,
    /// Name of an event, such as service_registered; may be repeated.
    #[arg(long, value_name = "EVENT")]
    event: Vec<String>,
}

/// Where a watch has got to.
#[derive(Debug, Default)]
struct Position {
    /// Everything up to here was printed.
    resume_after: Option<u64>,
    /// Events of the next revision that were printed.
    printed: usize,
    /// Events to leave out because they were printed before the connection was made again.
    skip: usize,
}

impl Position {
    /// Takes an event, and answers whether it is new.
    fn take(&mut self, event: &EventMessage, revision: u64) -> bool {
        let is_new = self.skip == 0;
        // A snapshot that was cut off begins anew and is another one.
        if event.event == "registry_loaded" && !event.complete {
            return true;
        }
        if is_new {
            self.printed += 1;
        } else {
            self.skip -= 1;
        }
        if event.complete {
            *self = Self {
                resume_after: Some(revision),
                printed: 0,
                skip: 0,
            };
        }
        is_new
    }
}

/// Prints events until the output is closed or the past is gone.
pub(crate) async fn run(
    target: &Target,
    watch: &WatchArgs,
    filter: &FilterArgs,
    format: Format,
) -> Result<()> {
    let mut position = Position {
        resume_after: watch.after,
        ..Position::default()
    };
    let mut client = target.open(false).await?;
    loop {
        match follow(&mut client, watch, filter, format, &mut position).await {
            Err(error) if is_gone(&error) && target.is_daemon() => {
                eprintln!("harness: {error}; connecting again");
            }
            ended => return ended,
        }
        // A daemon that ends waits for it to go.
        drop(client);
        client = reconnect(target).await?;
        // Of a revision that was cut off the rest is missing.
        position.skip = position.printed;
    }
}

async fn follow(
    client: &mut Client,
    watch: &WatchArgs,
    filter: &FilterArgs,
    format: Format,
    position: &mut Position,
) -> Result<()> {
    let mut params = json!({ "filter": filter.to_json() });
    if !watch.event.is_empty() {
        params["events"] = json!(watch.event);
    }
    if let Some(revision) = position.resume_after {
        params["resume_after"] = json!(revision);
    }
    let begins_after = client.subscribe(&params).await?;
    let has_snapshot =
        watch.event.is_empty() || watch.event.iter().any(|it| it == "registry_loaded");
    if !has_snapshot {
        // Without a snapshot everything up to here is old, also for a connection that ends before the first event.
        position.resume_after.get_or_insert(begins_after);
    }
    while let Some(event) = client.event().await? {
        let data: Value = serde_json::from_str(event.data.get())?;
        let revision = data["revision"].as_u64().unwrap_or_default();
        let ends = matches!(&*event.event, "lagged" | "compacted");
        if position.take(&event, revision) {
            print(format, &event, &data)?;
        }
        if ends {
            break;
        }
    }
    Ok(())
}

fn print(format: Format, event: &EventMessage, data: &Value) -> Result<()> {
    match format {
        Format::Table if event.event == "registry_loaded" => loaded(data),
        Format::Table => line(
            &data["revision"],
            &event.event,
            &data["service"],
            &detail(&event.event, data),
        ),
        Format::Yaml => output::print_one(format, &json!({ "event": event.event, "data": data })),
        _ => output::print_json_line(
            &json!({ "event": event.event, "complete": event.complete, "data": data }),
        ),
    }
}

fn loaded(data: &Value) -> Result<()> {
    for service in array(&data["services"]) {
        let state = text(&state_name(&service["state"]));
        let detail = format!("{} {state}", text(&service["version"]));
        let (revision, name) = (&service["revision"], &service["name"]);
        line(revision, "registry_loaded", name, &detail)?;
    }
    for instance in array(&data["instances"]) {
        let (revision, name) = (&instance["revision"], &instance["service"]);
        line(revision, "registry_loaded", name, &of_instance(instance))?;
    }
    Ok(())
}

/// The id of an instance, and where it is.
fn of_instance(instance: &Value) -> String {
    let host = text(&instance["address"]);
    format!(
        "{} at {host} port {}",
        text(&instance["instance_id"]),
        instance["port"]
    )
}

fn line(revision: &Value, event: &str, service: &Value, detail: &str) -> Result<()> {
    output::print_line(&format!(
        "{:<8} {event:<22} {:<24} {detail}",
        text(revision),
        text(service)
    ))
}

fn detail(event: &str, data: &Value) -> String {
    match event {
        "service_state_changed" => format!(
            "{} -> {}",
            text(&state_name(&data["from"])),
            text(&state_name(&data["to"]))
        ),
        "endpoint_updated" => text(&data["endpoints"]),
        "health_check_result" => format!(
            "{} {}",
            text(&data["health"]["status"]),
            text(&data["health"]["message"])
        ),
        "lagged" => format!("too slow; watch --after {}", data["resume_after"]),
        "compacted" => format!(
            "the log begins after revision {}; watch anew",
            data["oldest"]
        ),
        _ if !data["instance"].is_null() => of_instance(&data["instance"]),
        "policy_changed" => String::new(),
        _ => text(&data["version"]),
    }
}
