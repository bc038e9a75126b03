//! Answers as responses: status, entity tag, error envelope.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use registry_api::{Answer, ErrorCode, ErrorInfo};
use registry_core::Revision;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::shape::{Shape, Tag};

/// Carries the revision that an answer reflects.
pub(crate) const REVISION: HeaderName = HeaderName::from_static("x-registry-revision");
/// Carries the name of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Seconds that a peer is asked to wait where it asked too much.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The error envelope of every face.
#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a ErrorInfo,
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("answers have string keys and no failing parts");
    body(status, "application/json", text)
}

/// An answer of a media type.
pub(crate) fn body(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}

/// An error in its envelope, with the headers that belong to it.
pub(crate) fn refusal(error: &ErrorInfo) -> Response {
    let status = StatusCode::from_u16(error.code.http_status())
        .expect("the table of errors has valid statuses");
    let mut response = json(status, &Envelope { error });
    let headers = response.headers_mut();
    if matches!(
        error.code,
        ErrorCode::RateLimited
            | ErrorCode::Overloaded
            | ErrorCode::ShuttingDown
            | ErrorCode::StoreUnavailable
            | ErrorCode::OutcomeUnknown
    ) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    }
    if error.code == ErrorCode::Unauthorized {
        let bearer = HeaderValue::from_static("Bearer");
        headers.insert(header::WWW_AUTHENTICATE, bearer);
    }
    if error.code == ErrorCode::UpgradeRequired {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

/// The answer of an action.
pub(crate) fn of_action(shape: &Shape, answer: Answer, asked: &HeaderMap) -> Response {
    let Answer { data, revision } = answer;
    let tag = tag(shape, &data, revision);
    let is_known = tag.as_ref().is_some_and(|tag| knows(asked, tag));
    let made = made(shape, &data, revision);
    let mut response = if is_known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let status = if made.is_some() {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        body(status, "application/json", part(shape, data))
    };
    let headers = response.headers_mut();
    headers.insert(REVISION, revision.0.into());
    if let Some(location) = made.and_then(|made| location(shape, &made)) {
        headers.insert(header::LOCATION, location);
    }
    if let Some(tag) = tag {
        let tag = HeaderValue::from_str(&tag).expect("a number in quotes is a legal header");
        headers.insert(header::ETAG, tag);
    }
    response
}

/// The fields of an answer that a route gives.
fn part(shape: &Shape, data: Box<RawValue>) -> String {
    if shape.part.is_empty() {
        return Box::<str>::from(data).into();
    }
    let mut all: Map<String, Value> =
        serde_json::from_str(data.get()).expect("an answer with parts is an object");
    all.retain(|field, _| shape.part.contains(&field.as_str()));
    Value::Object(all).to_string()
}

/// The entity tag of an answer. That of a view is weak: a repeated health report moves a time in it and no revision.
fn tag(shape: &Shape, data: &RawValue, revision: Revision) -> Option<String> {
    #[derive(Deserialize)]
    struct Record {
        revision: Revision,
    }
    match shape.tag {
        Tag::None => None,
        Tag::View => Some(format!("W/\"{revision}\"")),
        Tag::Record => {
            let record: Record = serde_json::from_str(data.get()).ok()?;
            Some(format!("\"{}\"", record.revision))
        }
    }
}

/// Whether the asker has what the tag names.
fn knows(asked: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

/// What a write answers, as far as the response needs it.
#[derive(Deserialize)]
struct Written {
    changed: bool,
    #[serde(default)]
    service: Option<Made>,
    #[serde(default)]
    instance: Option<Made>,
}

#[derive(Deserialize)]
struct Made {
    created_revision: Revision,
    #[serde(default)]
    service: String,
    #[serde(default)]
    instance_id: String,
}

/// The record that a write made.
fn made(shape: &Shape, data: &RawValue, revision: Revision) -> Option<Made> {
    // The outcome that an idempotency key is answered with may be that of another action.
    if !shape.is_write() || shape.route.method == "DELETE" {
        return None;
    }
    let written: Written = serde_json::from_str(data.get()).ok()?;
    let made = written.instance.or(written.service)?;
    (written.changed && made.created_revision == revision).then_some(made)
}

/// Where a record is that was given its name here.
fn location(shape: &Shape, made: &Made) -> Option<HeaderValue> {
    if shape.route.method != "POST" {
        return None;
    }
    let part = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let (service, id) = (part(&made.service), part(&made.instance_id));
    HeaderValue::from_str(&format!("/v1/services/{service}/instances/{id}")).ok()
}
