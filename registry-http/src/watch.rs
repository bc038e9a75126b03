//! Watches over HTTP: server-sent events, and polls that wait.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request};
use axum::response::Response;
use futures_util::{FutureExt as _, stream};
use registry_api::{
    ErrorCode, ErrorInfo, EventMessage, SharedJson, SubscribeParams, Subscription, parse_strict,
};
use registry_core::Revision;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{self, REVISION};
use crate::duration::parse_duration;
use crate::entry;
use crate::request as turn;
use crate::server::Shared;
use crate::shape::{Shape, WAIT};

/// Events in the answer to a poll; those of one revision stay together beyond it.
const POLL_EVENTS_MAX: usize = 1000;
/// Bytes of events in the answer to a poll; those of one revision stay together beyond it.
const POLL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of events that are collected before they are written, where they are ready.
const CHUNK_BYTES: usize = 16 * 1024;
/// Time that a client waits before it connects again.
const RECONNECT_MILLIS: u32 = 1000;

/// Answers `/v1/watch`: a stream of events, or, with `wait`, one answer.
pub(crate) async fn watch(
    shared: &Arc<Shared>,
    shape: &Shape,
    head: &request::Parts,
) -> Result<Response, ErrorInfo> {
    entry::admit(shared, shape, head)?;
    let place = begin_watch(shared)?;
    let (mut params, wait) = params(shared, shape, head)?;
    if let Some(after) = last_event_id(shared, &head.headers)? {
        params.resume_after = Some(after);
    }
    check_place(shared, params.resume_after).await?;
    let after = params.resume_after;
    let subscription = Subscription::begin(&shared.api, "http".to_owned(), params).await?;
    match (wait, after) {
        (None, _) => Ok(events(Arc::clone(shared), subscription, place)),
        (Some(wait), Some(_)) => poll(shared, subscription, wait).await,
        (Some(_), None) => Err(shared.error(
            ErrorCode::BadRequest,
            "after: expected beside wait, the revision to wait after",
        )),
    }
}

fn begin_watch(shared: &Shared) -> Result<OwnedSemaphorePermit, ErrorInfo> {
    let place = Arc::clone(&shared.watches).try_acquire_owned();
    place.map_err(|_| {
        let message = format!("watches_max is {}, all in use", shared.config.watches_max);
        shared.error(ErrorCode::Overloaded, message)
    })
}

fn params(
    shared: &Shared,
    shape: &Shape,
    head: &request::Parts,
) -> Result<(SubscribeParams, Option<Duration>), ErrorInfo> {
    let bad = |message: String| shared.error(ErrorCode::BadRequest, message);
    let query = head.uri.query().unwrap_or_default();
    let mut found =
        turn::query(shape, query).map_err(|turn::Refused(code, text)| shared.error(code, text))?;
    let wait = match found.remove(WAIT).as_ref().and_then(|wait| wait.as_str()) {
        None => None,
        Some(text) => {
            let wait_max = shared.config.wait_max;
            let wait = parse_duration(text).filter(|wait| *wait <= wait_max);
            let expected = || {
                let message = format!(
                    "wait: expected 0s to {}s (wait_max) such as 30s or 500ms, found {text:?}",
                    wait_max.as_secs()
                );
                bad(message)
            };
            Some(wait.ok_or_else(expected)?)
        }
    };
    let text = serde_json::Value::Object(found).to_string();
    let params = parse_strict(&text).map_err(|message| bad(format!("params: {message}")))?;
    Ok((params, wait))
}

/// Where a client that was cut off goes on. An empty one begins anew.
fn last_event_id(shared: &Shared, headers: &HeaderMap) -> Result<Option<Revision>, ErrorInfo> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = id.to_str().unwrap_or("?");
    if id.is_empty() {
        return Ok(None);
    }
    let revision = id.parse().map_err(|_| {
        let message = format!("last-event-id: expected a revision, found {id:?}");
        shared.error(ErrorCode::BadRequest, message)
    })?;
    Ok(Some(revision))
}

/// A revision that there is not yet is another registry's: waiting for it would skip everything until then.
async fn check_place(shared: &Shared, after: Option<Revision>) -> Result<(), ErrorInfo> {
    let Some(after) = after else { return Ok(()) };
    let view = shared.api.registry().view().await;
    let view = view.map_err(|error| ErrorInfo::of(&error, shared.api.now()))?;
    let revision = view.revision();
    if after <= revision {
        return Ok(());
    }
    let message =
        format!("after: expected at most the registry's revision {revision}, found {after}");
    Err(shared.error(ErrorCode::BadRequest, message))
}

#[derive(Serialize)]
struct Told {
    event: Cow<'static, str>,
    data: SharedJson,
}

#[derive(Serialize)]
struct Polled {
    events: Vec<Told>,
    /// Ask again after this revision.
    revision: Revision,
}

/// Answers as soon as there is something, with whole revisions only, or when the wait is over.
async fn poll(
    shared: &Shared,
    mut subscription: Subscription,
    wait: Duration,
) -> Result<Response, ErrorInfo> {
    let deadline = Instant::now() + wait;
    let mut events = Vec::new();
    let mut bytes = 0;
    loop {
        // What is there already is taken; nothing more is waited for.
        let until = if events.is_empty() {
            deadline
        } else {
            Instant::now()
        };
        let next = tokio::select! {
            biased;
            next = timeout_at(until, subscription.next()) => next,
            () = shared.closing() => break,
        };
        let Some(message) = next.unwrap_or(Ok(None))? else {
            break;
        };
        if message.is_lagged() {
            break;
        }
        if message.is_compacted() {
            if events.is_empty() {
                let message = format!(
                    "the log no longer goes back to revision {}",
                    subscription.position()
                );
                return Err(shared.error(ErrorCode::Compacted, message));
            }
            break;
        }
        let EventMessage {
            event,
            data,
            complete,
            ..
        } = message;
        bytes += data.get().len();
        events.push(Told { event, data });
        if complete && (events.len() >= POLL_EVENTS_MAX || bytes >= POLL_BYTES_MAX) {
            break;
        }
    }
    let revision = subscription.position();
    let mut response = answer::json(StatusCode::OK, &Polled { events, revision });
    response.headers_mut().insert(REVISION, revision.0.into());
    Ok(response)
}

/// A stream of server-sent events.
struct Stream {
    shared: Arc<Shared>,
    subscription: Subscription,
    _place: OwnedSemaphorePermit,
    /// The revision of the last id that was told.
    told: Revision,
    has_begun: bool,
    has_ended: bool,
}

fn events(
    shared: Arc<Shared>,
    subscription: Subscription,
    place: OwnedSemaphorePermit,
) -> Response {
    let revision = subscription.position();
    let stream = Stream {
        told: revision,
        shared,
        subscription,
        _place: place,
        has_begun: false,
        has_ended: false,
    };
    let chunks = stream::unfold(stream, |mut stream| async move {
        let chunk = stream.chunk().await?;
        Some((Ok::<_, Infallible>(chunk), stream))
    });
    let body = Body::from_stream(chunks);
    let mut response = answer::body(StatusCode::OK, "text/event-stream", body);
    let headers = response.headers_mut();
    headers.insert(REVISION, revision.0.into());
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    response
}

impl Stream {
    /// The next events as text; none after the end.
    async fn chunk(&mut self) -> Option<String> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(format!("retry: {RECONNECT_MILLIS}\n\n"));
        }
        if self.has_ended {
            return None;
        }
        let keep_alive = self.shared.config.keep_alive_interval;
        let next = tokio::select! {
            biased;
            next = timeout(keep_alive, self.subscription.next()) => next,
            () = self.shared.closing() => return None,
        };
        let mut text = String::new();
        match next {
            Err(_) => self.keep_alive(&mut text),
            Ok(told) => self.tell(told, &mut text),
        }
        // What is ready goes along.
        while text.len() < CHUNK_BYTES && !self.has_ended {
            let Some(told) = self.subscription.next().now_or_never() else {
                break;
            };
            self.tell(told, &mut text);
        }
        (!text.is_empty()).then_some(text)
    }

    fn tell(&mut self, told: Result<Option<EventMessage>, ErrorInfo>, text: &mut String) {
        let message = match told {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.has_ended = true;
                return;
            }
            Err(error) => {
                self.has_ended = true;
                let error = serde_json::to_string(&error).unwrap_or_default();
                append(text, None, "error", &error);
                return;
            }
        };
        let position = self.subscription.position();
        if message.is_compacted() {
            // An empty id makes a client that connects again begin anew.
            append(
                text,
                Some(String::new()),
                &message.event,
                message.data.get(),
            );
        } else {
            let id = message.complete.then(|| position.to_string());
            append(text, id, &message.event, message.data.get());
        }
        if message.complete {
            self.told = position;
        }
    }

    /// A sign of life. What was passed over because no event fits the filter needs not be read again.
    fn keep_alive(&mut self, text: &mut String) {
        text.push_str(": keep-alive\n");
        let position = self.subscription.position();
        if position > self.told {
            self.told = position;
            writeln!(text, "id: {position}").expect("a String takes everything");
        }
        text.push('\n');
    }
}

/// One event; JSON has no line breaks.
fn append(text: &mut String, id: Option<String>, event: &str, data: &str) {
    if let Some(id) = id {
        writeln!(text, "id: {id}").expect("a String takes everything");
    }
    write!(text, "event: {event}\ndata: {data}\n\n").expect("a String takes everything");
}
