//! The whole state as lines of JSON, written as fast as they are taken.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{StatusCode, request};
use axum::response::Response;
use futures_util::stream;
use registry_api::{ErrorCode, ErrorInfo, Snapshot};
use registry_core::Revision;
use serde::Serialize;

use crate::answer::{self, REVISION};
use crate::entry;
use crate::server::Shared;
use crate::shape::Shape;

/// The first line.
#[derive(Serialize)]
struct Head {
    revision: Revision,
}

/// The last line: without it the answer was cut off.
#[derive(Serialize)]
struct Foot {
    complete: bool,
    revision: Revision,
    records: usize,
}

/// Where the lines are.
enum Step {
    Head(Snapshot),
    /// With the records told so far.
    Records(Snapshot, usize),
    End,
}

/// Answers `/v1/snapshot`.
pub(crate) async fn snapshot(
    shared: &Shared,
    shape: &Shape,
    head: &request::Parts,
) -> Result<Response, ErrorInfo> {
    entry::admit(shared, shape, head)?;
    let _place = shared.begin_request()?;
    if let Some(query) = head.uri.query().filter(|query| !query.is_empty()) {
        let message = format!("query: expected none, found {query:?}");
        return Err(shared.error(ErrorCode::BadRequest, message));
    }
    let snapshot = Snapshot::begin(shared.api.registry())
        .await
        .map_err(|error| ErrorInfo::of(&error, shared.api.now()))?;
    let revision = snapshot.revision();
    let chunks = stream::unfold(Step::Head(snapshot), |step| async move {
        let (text, next) = lines(step)?;
        Some((Ok::<_, Infallible>(text), next))
    });
    let body = Body::from_stream(chunks);
    let mut response = answer::body(StatusCode::OK, "application/x-ndjson", body);
    response.headers_mut().insert(REVISION, revision.0.into());
    Ok(response)
}

fn lines(step: Step) -> Option<(String, Step)> {
    let mut text = String::new();
    let next = match step {
        Step::Head(snapshot) => {
            let head = Head {
                revision: snapshot.revision(),
            };
            line(&mut text, &head);
            Step::Records(snapshot, 0)
        }
        Step::Records(mut snapshot, told) => {
            if let Some(records) = snapshot.next_page() {
                for record in &records {
                    line(&mut text, record);
                }
                Step::Records(snapshot, told + records.len())
            } else {
                let foot = Foot {
                    complete: true,
                    revision: snapshot.revision(),
                    records: told,
                };
                line(&mut text, &foot);
                Step::End
            }
        }
        Step::End => return None,
    };
    Some((text, next))
}

fn line(text: &mut String, value: &impl Serialize) {
    let json = serde_json::to_string(value).expect("records have string keys and no failing parts");
    text.push_str(&json);
    text.push('\n');
}
