//! Answers as responses: status, entity tag, error envelope.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use registry_api::{Answer, ErrorCode, ErrorInfo, SharedJson, Subject};
use serde::Serialize;
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
    let tag = tag(shape, &answer);
    let is_known = tag.as_ref().is_some_and(|tag| knows(asked, tag));
    let made = made(shape, &answer);
    let Answer { data, revision, .. } = answer;
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
fn part(shape: &Shape, data: SharedJson) -> Body {
    if shape.part.is_empty() {
        // Many may be answered with the same text.
        return Bytes::from_owner(data).into();
    }
    let mut all: Map<String, Value> =
        serde_json::from_str(data.get()).expect("an answer with parts is an object");
    all.retain(|field, _| shape.part.contains(&field.as_str()));
    Value::Object(all).to_string().into()
}

/// The entity tag of an answer. That of a view is weak: a repeated health report moves a time in it and no revision.
fn tag(shape: &Shape, answer: &Answer) -> Option<String> {
    match shape.tag {
        Tag::None => None,
        Tag::View => Some(format!("W/\"{}\"", answer.revision)),
        Tag::Record => {
            let subject = answer.subject.as_ref()?;
            Some(format!("\"{}\"", subject.modified()))
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

/// The record that a write made.
fn made(shape: &Shape, answer: &Answer) -> Option<Subject> {
    // The outcome that an idempotency key is answered with may be that of another action.
    if !shape.is_write() || shape.route.method == "DELETE" || !answer.is_changed {
        return None;
    }
    let subject = answer.subject.as_ref()?;
    (subject.created() == answer.revision).then(|| subject.clone())
}

/// Where a record is that was given its name here.
fn location(shape: &Shape, made: &Subject) -> Option<HeaderValue> {
    let Subject::Instance(made) = made else {
        return None;
    };
    if shape.route.method != "POST" {
        return None;
    }
    let part = |name| utf8_percent_encode(name, NON_ALPHANUMERIC);
    let (service, id) = (part(made.service()), part(made.id()));
    HeaderValue::from_str(&format!("/v1/services/{service}/instances/{id}")).ok()
}
