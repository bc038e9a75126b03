//! `harness service wait`: until the instances of a service are as they should be.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use clap::Args;
use harness::core::Span;
use harness::core::model::{Health, InstanceEntry, Intent, Lifecycle};
use registry_api::InstanceInfo;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Target};
use super::exit::TimedOut;
use super::instance::span;
use super::output::{self, Format};
use super::reconnect::{is_gone, reconnect};

/// What `service wait` takes.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// registered: an instance is listed. healthy: one that callers are sent to reports passing. gone: none is listed.
    /// count=N: callers are sent to at least N.
    #[arg(long = "for", value_name = "WHAT", default_value = "healthy", value_parser = Goal::from_str)]
    goal: Goal,
    /// Give up after this time, with exit code 8.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    timeout: Span,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Registered,
    Healthy,
    Gone,
    Count(usize),
}

impl FromStr for Goal {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = || anyhow!("expected registered, healthy, gone or count=N");
        match text {
            "registered" => Ok(Self::Registered),
            "healthy" => Ok(Self::Healthy),
            "gone" => Ok(Self::Gone),
            _ => {
                let count = text.strip_prefix("count=").ok_or_else(expected)?;
                count.parse().map(Self::Count).map_err(|_| expected())
            }
        }
    }
}

/// How one instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    /// Callers are sent to it.
    is_eligible: bool,
    is_passing: bool,
}

impl Standing {
    fn new(lifecycle: Lifecycle, intent: Intent, health: Health) -> Self {
        let is_eligible = lifecycle == Lifecycle::Active
            && intent == Intent::Enabled
            && health != Health::Critical;
        Self {
            is_eligible,
            is_passing: is_eligible && health == Health::Passing,
        }
    }
}

/// The instances that are listed, as far as the subscription has told.
#[derive(Debug, Default)]
struct Listed(BTreeMap<String, Standing>);

impl Listed {
    fn put(&mut self, id: String, standing: Option<Standing>) {
        match standing {
            Some(standing) => drop(self.0.insert(id, standing)),
            None => drop(self.0.remove(&id)),
        }
    }

    fn eligible(&self) -> usize {
        let standings = self.0.values();
        standings.filter(|standing| standing.is_eligible).count()
    }

    fn passing(&self) -> usize {
        let standings = self.0.values();
        standings.filter(|standing| standing.is_passing).count()
    }

    fn is(&self, goal: Goal) -> bool {
        match goal {
            Goal::Registered => !self.0.is_empty(),
            Goal::Healthy => self.passing() > 0,
            Goal::Gone => self.0.is_empty(),
            Goal::Count(count) => self.eligible() >= count,
        }
    }

    fn to_json(&self, service: &str) -> Value {
        json!({
            "service": service,
            "listed": self.0.len(),
            "eligible": self.eligible(),
            "passing": self.passing(),
        })
    }

    fn describe(&self) -> String {
        let (listed, eligible, passing) = (self.0.len(), self.eligible(), self.passing());
        format!("{listed} listed, {eligible} that callers are sent to, {passing} passing")
    }
}

/// Waits.
///
/// # Errors
/// [`TimedOut`]; the last failure to reach the daemon, where it could not be reached when the time was over.
pub(crate) async fn run(
    target: &Target,
    service: &str,
    args: &WaitArgs,
    format: Format,
) -> Result<()> {
    let mut listed = Listed::default();
    let mut problem = None;
    let waiting = wait(target, service, args.goal, &mut listed, &mut problem);
    let Ok(waited) = tokio::time::timeout(args.timeout.into(), waiting).await else {
        let timeout = args.timeout;
        return Err(problem.unwrap_or_else(|| {
            let found = listed.describe();
            TimedOut(format!("{service}: not so within {timeout}: {found}")).into()
        }));
    };
    waited?;
    if format == Format::Table {
        return output::print_line(&format!("{service}: {}", listed.describe()));
    }
    output::print_one(format, &listed.to_json(service))
}

async fn wait(
    target: &Target,
    service: &str,
    goal: Goal,
    listed: &mut Listed,
    problem: &mut Option<anyhow::Error>,
) -> Result<()> {
    let mut client = target.open(false).await;
    loop {
        let followed = match client {
            Ok(mut client) => follow(&mut client, service, goal, listed, problem).await,
            Err(error) => Err(error),
        };
        match followed {
            Err(error) if is_gone(&error) && target.is_daemon() => *problem = Some(error),
            ended => return ended,
        }
        client = reconnect(target).await;
    }
}

/// Follows a subscription to the goal.
async fn follow(
    client: &mut Client,
    service: &str,
    goal: Goal,
    listed: &mut Listed,
    problem: &mut Option<anyhow::Error>,
) -> Result<()> {
    let params = json!({ "filter": { "names": [service] } });
    loop {
        client.subscribe(&params).await?;
        *listed = Listed::default();
        // A reader that was too slow begins with a new snapshot.
        while let Some(event) = client.event().await? {
            if event.is_lagged() || event.is_compacted() {
                break;
            }
            take(listed, event.data.get())?;
            if event.complete {
                *problem = None;
                if listed.is(goal) {
                    return Ok(());
                }
            }
        }
    }
}

/// Takes what an event tells of instances.
fn take(listed: &mut Listed, data: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Told {
        #[serde(default)]
        instances: Vec<InstanceInfo>,
        #[serde(default)]
        instance: Option<InstanceEntry>,
    }
    let told: Told = serde_json::from_str(data)?;
    for info in told.instances {
        let has_lease = info.expired_at.is_none() && info.stopped_at.is_none();
        let standing = Standing::new(info.lifecycle, info.intent, info.health);
        listed.put(info.instance_id, has_lease.then_some(standing));
    }
    if let Some(entry) = told.instance {
        let standing = Standing::new(entry.lifecycle, entry.intent, entry.health());
        let has_lease = entry.has_lease();
        listed.put(entry.instance_id, has_lease.then_some(standing));
    }
    Ok(())
}
