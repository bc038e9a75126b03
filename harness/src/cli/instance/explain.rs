//! `harness instance explain`: why each instance is in the answer to a caller, or not.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::ask::{array, ask};
use super::super::client::Target;
use super::super::output::{self, Column, Format, text};
use super::filter::FilterArgs;

const COLUMNS: &[Column] = &[
    ("INSTANCE", |row| text(&row["instance_id"])),
    ("ANSWER", |row| {
        if row["is_chosen"] == true {
            "in"
        } else {
            "out"
        }
        .to_owned()
    }),
    ("BECAUSE", because),
    ("LEASE", lease),
    ("HEALTH", |row| found(row, "health")),
    ("INTENT", |row| found(row, "intent")),
    ("LIFECYCLE", |row| found(row, "lifecycle")),
    ("PROTECTION", protection),
];

/// The first thing that keeps it out.
fn because(row: &Value) -> String {
    let first = array(&row["reasons"]).first();
    match first.filter(|reason| reason["keeps_out"] == true) {
        Some(reason) => format!("{}: {}", text(&reason["about"]), text(&reason["found"])),
        None => "-".to_owned(),
    }
}

fn found(row: &Value, about: &str) -> String {
    let reasons = array(&row["reasons"]).iter();
    let about = reasons.filter(|reason| reason["about"] == about);
    about
        .map(|reason| text(&reason["found"]))
        .next()
        .unwrap_or_else(|| "-".to_owned())
}

/// `12s of 90s`: the time since the last heartbeat, and the lease.
fn lease(row: &Value) -> String {
    let lease = &row["lease"];
    match (&lease["age"], &lease["ttl"]) {
        (_, Value::Null) => "none".to_owned(),
        (Value::Null, ttl) => format!("of {}", text(ttl)),
        (age, ttl) => format!("{} of {}", text(age), text(ttl)),
    }
}

fn protection(row: &Value) -> String {
    let lease = &row["lease"];
    if lease["suspect_since"].is_null() {
        return "-".to_owned();
    }
    format!(
        "held since {} for at most {}",
        text(&lease["suspect_since"]),
        text(&lease["protection_hold"])
    )
}

pub(super) async fn run(
    target: &Target,
    service: &str,
    id: Option<&str>,
    filter: &FilterArgs,
    format: Format,
) -> Result<()> {
    let filter = filter.to_json(Some(service));
    let params = json!({ "service": service, "instance_id": id, "filter": filter });
    let answer = ask(target, "explain_instances", params).await?;
    match format {
        Format::Table | Format::Ndjson => {
            output::print_list(format, array(&answer["instances"]), COLUMNS)
        }
        _ => output::print_one(format, &answer),
    }
}
