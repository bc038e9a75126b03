//! The way of a request: authorise, limit, read, ask the command layer.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{StatusCode, header, request};
use axum::response::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use registry_api::{Caller, ErrorCode, ErrorInfo, PROMETHEUS_TARGETS};
use registry_ws::RequestHead;

use crate::discovery::targets;
use crate::server::{Asked, Shared, refuse};
use crate::shape::Shape;
use crate::snapshot::snapshot;
use crate::watch::watch;
use crate::{answer, ops, request as turn};

/// Answers a request for an action.
pub(crate) async fn action(
    shared: &Arc<Shared>,
    shape: &Shape,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if let Some(asked) = head.extensions.get::<Arc<Asked>>() {
        asked.took(shape.route.path);
    }
    let path = path.map_err(|error| shared.error(ErrorCode::BadRequest, format!("path: {error}")));
    let answered = match (path, shape.action.name) {
        (Err(error), _) => Err(error),
        (Ok(_), "subscribe") => watch(shared, shape, &head).await,
        (Ok(_), "list_instances") if shape.route.path == PROMETHEUS_TARGETS => {
            targets(shared, shape, &head).await
        }
        (Ok(_), "snapshot") => snapshot(shared, shape, &head).await,
        (Ok(path), _) => answer_action(shared, shape, &path, &head, body).await,
    };
    answered.unwrap_or_else(|error| refuse(&head.extensions, error))
}

async fn answer_action(
    shared: &Shared,
    shape: &Shape,
    path: &RawPathParams,
    head: &request::Parts,
    body: Body,
) -> Result<Response, ErrorInfo> {
    let caller = admit(shared, shape, head)?;
    let _place = shared.begin_request()?;
    let body = read_body(shared, head, body).await?;
    let path: Vec<_> = path.iter().map(|(_, value)| value).collect();
    let parts = turn::Parts {
        path: &path,
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &body,
    };
    let answer = if let Some(name) = turn::looked_up(shape, parts) {
        shared.api.look_up(name, &caller).await?
    } else {
        let params = turn::params(shape, parts)
            .map_err(|turn::Refused(code, message)| shared.error(code, message))?;
        shared.api.call(shape.action.name, &params, &caller).await?
    };
    Ok(answer::of_action(shape, answer, &head.headers))
}

/// Finds out who asks, and whether a browser asks for a foreign page.
pub(crate) fn admit(
    shared: &Shared,
    shape: &Shape,
    head: &request::Parts,
) -> Result<Caller, ErrorInfo> {
    let now = shared.api.now();
    let asks = RequestHead {
        path: head.uri.path(),
        headers: &head.headers,
    };
    let config = shared.ws.config();
    let mut caller = config.authenticator.authenticate(asks.token(), now)?;
    if shape.is_write() {
        asks.check_origin(&config.origins)
            .map_err(|turned| shared.error(ErrorCode::Forbidden, turned.message))?;
    }
    if let Some(asked) = head.extensions.get::<Arc<Asked>>() {
        shared.check_rate(asked.link.connection.peer(), &caller)?;
        caller = caller.over(&asked.link.connection);
    }
    caller.check(shape.action.effect, now)?;
    Ok(caller)
}

async fn read_body(
    shared: &Shared,
    head: &request::Parts,
    body: Body,
) -> Result<Vec<u8>, ErrorInfo> {
    if body.is_end_stream() {
        return Ok(Vec::new());
    }
    let bytes_max = shared.config.body_bytes_max;
    let too_large = || {
        let message = format!("body: expected at most {bytes_max} bytes (body_bytes_max)");
        shared.error(ErrorCode::LimitExceeded, message)
    };
    let announced = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    // Told before the body is read: a client that waits for 100 sends nothing then.
    if announced.is_some_and(|announced| announced > bytes_max) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(
        shared.config.body_timeout,
        Limited::new(body, bytes_max).collect(),
    );
    match read.await {
        Ok(Ok(read)) => Ok(read.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(shared.error(ErrorCode::BadRequest, format!("body: {error}"))),
        Err(_) => Err(shared.error(
            ErrorCode::RequestTimeout,
            "the body took longer than body_timeout",
        )),
    }
}

/// The root: a WebSocket where one is asked for, else a pointer to what there is.
pub(crate) async fn root(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if asks_for_websocket(&request) {
        return open_websocket(&shared, &request);
    }
    ops::root()
}

/// Opens a WebSocket.
pub(crate) async fn websocket(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if asks_for_websocket(&request) {
        return open_websocket(&shared, &request);
    }
    let message = "expected a request to open a WebSocket";
    shared.refuse(&request, ErrorCode::UpgradeRequired, message)
}

fn head_of(request: &Request) -> RequestHead<'_> {
    RequestHead {
        path: request.uri().path(),
        headers: request.headers(),
    }
}

fn asks_for_websocket(request: &Request) -> bool {
    head_of(request).asks_for_websocket()
}

fn open_websocket(shared: &Shared, request: &Request) -> Response {
    let admission = match shared.ws.admit(head_of(request)) {
        Ok(admission) => admission,
        Err(turned) => {
            let code = match turned.status {
                StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
                StatusCode::FORBIDDEN => ErrorCode::Forbidden,
                StatusCode::NOT_FOUND => ErrorCode::UnknownRoute,
                _ => ErrorCode::BadRequest,
            };
            return shared.refuse(request, code, turned.message);
        }
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend(admission.headers.clone());
    if let Some(asked) = request.extensions().get::<Arc<Asked>>() {
        asked.link.upgrade_with(admission);
    }
    response
}
