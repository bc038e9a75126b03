//! Targets for Prometheus in the form of its HTTP service discovery.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::http::request;
use axum::response::Response;
use registry_api::{ErrorInfo, InstanceInfo};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{self, REVISION};
use crate::server::Shared;
use crate::shape::Shape;
use crate::{entry, request as turn};

/// One instance as Prometheus takes it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct TargetGroup {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Page {
    instances: Vec<InstanceInfo>,
    next_cursor: Option<String>,
}

/// Answers `/v1/sd/prometheus`: every instance that fits the query, from one snapshot.
pub(crate) async fn targets(
    shared: &Shared,
    shape: &Shape,
    head: &request::Parts,
) -> Result<Response, ErrorInfo> {
    let caller = entry::admit(shared, shape, head)?;
    let _place = shared.begin_request()?;
    let query = head.uri.query().unwrap_or_default();
    let mut params =
        turn::query(shape, query).map_err(|turn::Refused(code, text)| shared.error(code, text))?;
    let mut groups: Vec<TargetGroup> = Vec::new();
    let revision = loop {
        let text = Value::Object(params.clone()).to_string();
        let answer = shared.api.call("list_instances", &text, &caller).await?;
        let page: Page =
            serde_json::from_str(answer.data.get()).expect("a list of instances reads as one");
        groups.extend(page.instances.into_iter().map(group));
        match page.next_cursor {
            Some(cursor) => params.insert("cursor".to_owned(), cursor.into()),
            None => break answer.revision,
        };
    };
    let mut response = answer::json(StatusCode::OK, &groups);
    response.headers_mut().insert(REVISION, revision.0.into());
    Ok(response)
}

fn group(instance: InstanceInfo) -> TargetGroup {
    let mut labels: BTreeMap<String, String> = [
        ("service", instance.service),
        ("instance", instance.instance_id),
        ("zone", instance.zone),
        ("region", instance.region),
        ("health", instance.health.as_str().to_owned()),
        ("version", instance.version),
        // A comma on either side, so that `,tag,` finds a whole tag.
        ("tags", format!(",{},", instance.tags.join(","))),
    ]
    .into_iter()
    .map(|(name, value)| (format!("__meta_harness_{name}"), value))
    .collect();
    for (key, value) in instance.metadata {
        labels.insert(
            format!("__meta_harness_metadata_{}", sanitized(&key)),
            value,
        );
    }
    let target = if instance.address.contains(':') {
        format!("[{}]:{}", instance.address, instance.port)
    } else {
        format!("{}:{}", instance.address, instance.port)
    };
    TargetGroup {
        targets: [target],
        labels,
    }
}

/// A label's name has letters, digits and underscores only.
fn sanitized(key: &str) -> String {
    key.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}
