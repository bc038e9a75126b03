//! One action of the protocol as one command.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::client::Target;
use super::output::{self, Format};

/// What every write may say.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Only if it is at this revision; 0 is absent.
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// Why; goes into the log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Your name for this one change: sent again, it is answered and not applied again.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl WriteArgs {
    /// The parameters with what is said here.
    pub(crate) fn add_to(&self, mut params: Value) -> Value {
        let Self {
            if_revision,
            reason,
            idempotency_key,
        } = self;
        if let Some(revision) = if_revision {
            params["expect_revision"] = json!(revision);
        }
        if let Some(reason) = reason {
            params["reason"] = json!(reason);
        }
        if let Some(key) = idempotency_key {
            params["idempotency_key"] = json!(key);
        }
        params
    }
}

/// The items of an array; none where there is no array.
pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Takes the items out of an array.
pub(crate) fn take(items: &mut Value) -> Vec<Value> {
    items.as_array_mut().map(std::mem::take).unwrap_or_default()
}

/// Asks for one action.
///
/// # Errors
/// The registry's refusal.
pub(crate) async fn ask(target: &Target, action: &str, params: Value) -> Result<Value> {
    request(target, action, params, false).await
}

/// As [`ask`]; a store that is not there yet is made.
///
/// # Errors
/// The registry's refusal.
pub(crate) async fn ask_or_create(target: &Target, action: &str, params: Value) -> Result<Value> {
    request(target, action, params, true).await
}

async fn request(target: &Target, action: &str, params: Value, may_create: bool) -> Result<Value> {
    let mut client = target.open(may_create).await?;
    let answer = client.call(action, &params).await;
    client.close().await?;
    answer
}

/// Tells what a write did.
pub(crate) fn print_written(format: Format, answer: &Value) -> Result<()> {
    if format != Format::Table {
        return output::print_one(format, answer);
    }
    let did = if answer["changed"] == true {
        "done"
    } else {
        "nothing to change"
    };
    output::print_line(&format!("{did} at revision {}", answer["revision"]))
}

/// Every page of a list, from one snapshot.
///
/// # Errors
/// The registry's refusal.
pub(crate) async fn list(
    target: &Target,
    action: &str,
    field: &str,
    filter: Value,
) -> Result<Vec<Value>> {
    let mut client = target.open(false).await?;
    let mut items = Vec::new();
    let mut params = json!({ "filter": filter });
    loop {
        let mut page = client.call(action, &params).await?;
        items.extend(take(&mut page[field]));
        if page["next_cursor"].is_null() {
            break;
        }
        params["cursor"] = page["next_cursor"].take();
    }
    client.close().await?;
    Ok(items)
}
