//! `harness instance heartbeat`: a sign of life, once or again and again.

use std::time::Duration;

use anyhow::Result;
use harness::core::Span;
use serde_json::{Value, json};

use super::super::client::{Client, Target};
use super::super::exit::Usage;
use super::super::output::{self, Format};
use super::super::reconnect::{is_gone, reconnect};

pub(super) async fn run(
    target: &Target,
    service: &str,
    id: &str,
    incarnation: Option<u64>,
    every: Option<Span>,
    format: Format,
) -> Result<()> {
    if !target.is_daemon() {
        let problem =
            "path: leases run in a daemon; a store that nobody holds open has none to renew";
        return Err(Usage(problem.to_owned()).into());
    }
    let params = json!({ "service": service, "instance_id": id, "incarnation": incarnation });
    let mut client = target.open(false).await?;
    let Some(every) = every else {
        let mut answer = client.call("heartbeat", &params).await?;
        if format == Format::Table {
            return output::print_line(&format!("renewed {service}/{id}"));
        }
        return output::print_one(format, &answer["instance"].take());
    };
    if every.as_millis() == 0 {
        return Err(Usage("every: expected a time above 0s".to_owned()).into());
    }
    beat(target, client, &params, every.into()).await
}

/// Beats until the lease is lost.
async fn beat(target: &Target, mut client: Client, params: &Value, every: Duration) -> Result<()> {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        match client.call("heartbeat", params).await {
            Err(error) if is_gone(&error) => {
                eprintln!("harness: {error}; connecting again");
                drop(client);
                client = reconnect(target).await?;
                // What was missed is made up for at once.
                ticks.reset_immediately();
            }
            answered => drop(answered?),
        }
    }
}
