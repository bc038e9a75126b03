//! `harness audit`: who changed what, when and why.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::ask::take;
use super::client::{Client, Target};
use super::output::{self, Column, Format, text};
use super::reconnect::{is_gone, reconnect};

/// Log entries that are asked for at a time.
const PAGE_ENTRIES: u64 = 500;

/// Verbs of `harness audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Lists commits of the log that fit, oldest first.
    List {
        #[command(flatten)]
        filter: LogFilterArgs,
        /// Begin after this revision instead of with the oldest entry.
        #[arg(long, value_name = "REVISION")]
        after: Option<u64>,
        /// Print at most so many; where there are more, a note says how to go on.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// Prints commits that fit as they come, each once, also across a restart of the daemon.
    Tail {
        #[command(flatten)]
        filter: LogFilterArgs,
        /// Begin after this revision instead of now.
        #[arg(long, value_name = "REVISION")]
        after: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
}

/// Which commits.
#[derive(Debug, Default, Args)]
pub(crate) struct LogFilterArgs {
    /// Who asked.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// The service that it changed.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// What was asked, such as register_service.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// At this time or later, as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl LogFilterArgs {
    /// Parameters of `list_log` for a page.
    fn page(&self, after: Option<u64>, limit: u64) -> Value {
        let Self {
            actor,
            service,
            action,
            since,
            until,
        } = self;
        json!({
            "actor": actor, "service": service, "action": action, "since": since, "until": until,
            "after": after, "limit": limit,
        })
    }
}

const LOG_COLUMNS: &[Column] = &[
    ("REVISION", |row| text(&row["revision"])),
    ("TIME", |row| text(&row["time"])),
    ("ACTION", |row| text(&row["action"])),
    ("ACTOR", |row| text(&row["actor"])),
    ("CHANGES", changes),
    ("REASON", |row| text(&row["reason"])),
];

/// What a commit did to each of its keys: `+` made, `~` changed, `-` removed.
fn changes(row: &Value) -> String {
    let changes = row["changes"].as_array().into_iter().flatten();
    let texts: Vec<_> = changes
        .map(|change| {
            let sign = match (change["before"].is_null(), change["after"].is_null()) {
                (true, _) => '+',
                (false, true) => '-',
                (false, false) => '~',
            };
            format!("{sign}{}", key(&change["key"]))
        })
        .collect();
    texts.join(" ")
}

/// `service api`, or `instance web/web-1` for a key of two parts.
fn key(key: &Value) -> String {
    let Some((kind, parts)) = key.as_object().and_then(|key| key.iter().next()) else {
        return text(key);
    };
    if parts.is_object() {
        let (service, id) = (text(&parts["service"]), text(&parts["id"]));
        return format!("{kind} {service}/{id}");
    }
    format!("{kind} {}", text(parts))
}

/// Runs a verb.
pub(crate) async fn run(verb: Verb, format: Format) -> Result<ExitCode> {
    match verb {
        Verb::List {
            filter,
            after,
            limit,
            target,
        } => list(&target, &filter, after, limit, format).await?,
        Verb::Tail {
            filter,
            after,
            target,
        } => tail(&target, &filter, after, format).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    target: &Target,
    filter: &LogFilterArgs,
    after: Option<u64>,
    limit: Option<u64>,
    format: Format,
) -> Result<()> {
    let mut client = target.open(false).await?;
    let mut entries = Vec::new();
    let (mut after, mut left) = (after, limit.unwrap_or(u64::MAX));
    let mut more = None;
    while left > 0 {
        let params = filter.page(after, left.min(PAGE_ENTRIES));
        let mut page = client.call("list_log", &params).await?;
        let found = take(&mut page["entries"]);
        left -= found.len() as u64;
        more = page["next_after"].as_u64();
        after = more;
        if format == Format::Ndjson {
            // A long log goes out as it comes in.
            found.iter().try_for_each(output::print_json_line)?;
        } else {
            entries.extend(found);
        }
        if more.is_none() {
            break;
        }
    }
    client.close().await?;
    if format != Format::Ndjson {
        output::print_list(format, &entries, LOG_COLUMNS)?;
    }
    if let Some(after) = more {
        eprintln!("harness: the log goes on; list more of it with --after {after}");
    }
    Ok(())
}

/// Prints until the output is closed or the past is gone. The log itself is read, by revision; a subscription only says
/// that there is more to read.
async fn tail(
    target: &Target,
    filter: &LogFilterArgs,
    after: Option<u64>,
    format: Format,
) -> Result<()> {
    let mut client = target.open(false).await?;
    let mut position = match after {
        Some(after) => after,
        None => head(&mut client).await?,
    };
    loop {
        match follow(&mut client, filter, format, &mut position).await {
            Err(error) if is_gone(&error) && target.is_daemon() => {
                eprintln!("harness: {error}; connecting again");
            }
            ended => return ended,
        }
        drop(client);
        client = reconnect(target).await?;
    }
}

async fn head(client: &mut Client) -> Result<u64> {
    let info = client.call("registry_info", &json!({})).await?;
    Ok(info["revision"].as_u64().unwrap_or_default())
}

async fn follow(
    client: &mut Client,
    filter: &LogFilterArgs,
    format: Format,
    position: &mut u64,
) -> Result<()> {
    loop {
        print_after(client, filter, format, position).await?;
        client
            .subscribe(&json!({ "resume_after": *position }))
            .await?;
        while let Some(event) = client.event().await? {
            if matches!(&*event.event, "lagged" | "compacted") {
                // The log tells whether the past is gone.
                break;
            }
            let data: Value = serde_json::from_str(event.data.get())?;
            if data["revision"].as_u64() > Some(*position) {
                print_after(client, filter, format, position).await?;
            }
        }
    }
}

/// Prints what fits after a position up to the end of the log, and moves the position with every line.
async fn print_after(
    client: &mut Client,
    filter: &LogFilterArgs,
    format: Format,
    position: &mut u64,
) -> Result<()> {
    loop {
        let params = filter.page(Some(*position), PAGE_ENTRIES);
        let mut page = client.call("list_log", &params).await?;
        for entry in take(&mut page["entries"]) {
            print(format, &entry)?;
            *position = entry["revision"].as_u64().unwrap_or(*position);
        }
        *position = page["through"].as_u64().unwrap_or(*position);
        if page["next_after"].is_null() {
            return Ok(());
        }
    }
}

fn print(format: Format, entry: &Value) -> Result<()> {
    match format {
        Format::Table => {
            let cells: Vec<_> = LOG_COLUMNS.iter().map(|(_, cell)| cell(entry)).collect();
            output::print_line(&format!(
                "{:<8} {:<30} {:<22} {:<12} {:<30} {}",
                cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]
            ))
        }
        Format::Yaml => output::print_line("---").and_then(|()| output::print_one(format, entry)),
        _ => output::print_json_line(entry),
    }
}
