//! `harness instance policy`: the rules for the instances of a service.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::ask::{WriteArgs, ask, ask_or_create, print_written};
use super::super::client::Target;
use super::super::exit::Usage;
use super::super::output::{self, Column, Format, text};
use super::spec::span;

/// Gives a rule back to the daemon.
const DEFAULT: &str = "default";

/// Verbs of `harness instance policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Shows the rules in force, and which of them are the service's own.
    Get {
        service: String,
        #[command(flatten)]
        target: Target,
    },
    /// Sets rules of a service; those that are not named stay, and `default` takes the daemon's own.
    Set {
        service: String,
        #[command(flatten)]
        rules: Box<RuleArgs>,
        #[command(flatten)]
        write: WriteArgs,
        #[command(flatten)]
        target: Target,
    },
}

/// The rules.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct RuleArgs {
    /// What a heartbeat of an unknown instance does: refuse, or register it as pending or as active.
    #[arg(long, value_name = "WHAT")]
    unknown_heartbeat: Option<String>,
    /// Percent of the instances that may lose their leases within the window before the rest is held back; 100 is never.
    #[arg(long, value_name = "PERCENT")]
    protection_percent: Option<String>,
    /// The window.
    #[arg(long, value_name = "TIME")]
    protection_window: Option<String>,
    /// How long an instance is held back.
    #[arg(long, value_name = "TIME")]
    protection_hold: Option<String>,
    /// How long an expired instance stays listed.
    #[arg(long, value_name = "TIME")]
    remove_expired_after: Option<String>,
    /// How long an instance whose reports are critical stays listed.
    #[arg(long, value_name = "TIME")]
    remove_critical_after: Option<String>,
    /// How long a stopped instance is remembered.
    #[arg(long, value_name = "TIME")]
    forget_stopped_after: Option<String>,
}

impl RuleArgs {
    /// The policy with these rules in it.
    fn apply_to(&self, mut policy: Value) -> Result<Value> {
        if let Some(what) = &self.unknown_heartbeat {
            policy["unknown_heartbeat"] = unless_default(what, || Ok(json!(what)))?;
        }
        if let Some(percent) = &self.protection_percent {
            let expected = || {
                let problem = format!("protection-percent: expected 1 to 100, found {percent:?}");
                Usage(problem)
            };
            policy["protection_percent"] = unless_default(percent, || {
                Ok(json!(percent.parse::<u8>().map_err(|_| expected())?))
            })?;
        }
        for (field, value) in [
            ("protection_window", &self.protection_window),
            ("protection_hold", &self.protection_hold),
            ("remove_expired_after", &self.remove_expired_after),
            ("remove_critical_after", &self.remove_critical_after),
            ("forget_stopped_after", &self.forget_stopped_after),
        ] {
            if let Some(value) = value {
                policy[field] = unless_default(value, || {
                    let bad = |error| Usage(format!("{}: {error}", field.replace('_', "-")));
                    Ok(json!(span(value).map_err(bad)?))
                })?;
            }
        }
        Ok(policy)
    }
}

fn unless_default(text: &str, value: impl FnOnce() -> Result<Value>) -> Result<Value> {
    if text == DEFAULT {
        return Ok(Value::Null);
    }
    value()
}

const COLUMNS: &[Column] = &[
    ("RULE", |row| text(&row["rule"])),
    ("VALUE", |row| text(&row["value"])),
    ("OF", |row| text(&row["of"])),
];

pub(super) async fn run(verb: Verb, format: Format) -> Result<()> {
    match verb {
        Verb::Get { service, target } => {
            let answer = ask(&target, "get_service_policy", json!({ "service": service })).await?;
            if format != Format::Table {
                return output::print_one(format, &answer);
            }
            output::print_list(format, &rules(&answer), COLUMNS)
        }
        Verb::Set {
            service,
            rules,
            write,
            target,
        } => {
            let named = json!({ "service": service });
            let mut known = ask_or_create(&target, "get_service_policy", named).await?;
            let policy = rules.apply_to(known["own"].take())?;
            let params = write.add_to(json!({ "service": service, "policy": policy }));
            let written = ask(&target, "set_service_policy", params).await?;
            print_written(format, &written)
        }
    }
}

/// A row for each rule.
fn rules(answer: &Value) -> Vec<Value> {
    let effective = answer["effective"].as_object().into_iter().flatten();
    effective
        .map(|(rule, value)| {
            let is_own = !answer["own"][rule].is_null();
            let of = if is_own { "the service" } else { "the daemon" };
            json!({ "rule": rule, "value": value, "of": of })
        })
        .collect()
}
