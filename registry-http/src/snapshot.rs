//! The whole state as lines of JSON, written as fast as they are taken.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, request};
use axum::response::Response;
use futures_util::stream;
use registry_api::{Api, ErrorCode, ErrorInfo, Snapshot};
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
    let begin = (shared.api.clone(), Step::Head(snapshot));
    let chunks = stream::unfold(begin, |(api, step)| async move {
        let (text, next) = lines(&api, step)?;
        Some((Ok::<_, Infallible>(text), (api, next)))
    });
    let body = Body::from_stream(chunks);
    let mut response = answer::body(StatusCode::OK, "application/x-ndjson", body);
    response.headers_mut().insert(REVISION, revision.0.into());
    Ok(response)
}

fn lines(api: &Api, step: Step) -> Option<(Bytes, Step)> {
    match step {
        Step::Head(snapshot) => {
            let head = Head {
                revision: snapshot.revision(),
            };
            Some((line(&head), Step::Records(snapshot, 0)))
        }
        Step::Records(mut snapshot, told) => {
            if let Some(lines) = api.snapshot_lines(&mut snapshot) {
                let text = Bytes::from_owner(lines.text);
                return Some((text, Step::Records(snapshot, told + lines.records)));
            }
            let foot = Foot {
                complete: true,
                revision: snapshot.revision(),
                records: told,
            };
            Some((line(&foot), Step::End))
        }
        Step::End => None,
    }
}

fn line(value: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(value).expect("numbers and a flag do not fail");
    text.push(b'\n');
    text.into()
}
