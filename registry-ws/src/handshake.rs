//! The request that opens a connection: path, origin, token.

use async_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request, Response, create_response,
};
use async_tungstenite::tungstenite::http::{HeaderMap, StatusCode, header};
use registry_api::{Caller, ErrorInfo};
use registry_core::Timestamp;

use crate::config::WsConfig;

/// Subprotocol by which a browser, which can set no header, hands a token over: `harness.bearer.<token>`.
const BEARER_PROTOCOL: &str = "harness.bearer.";
/// Subprotocol that is answered where a client offers it.
const PROTOCOL: &str = "harness.v1";

/// The head of the request that opened a connection.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// Path of the request's target.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// A request that may become a connection.
#[derive(Debug)]
pub struct Admission {
    /// Who connects.
    pub caller: Caller,
    /// Headers of the answer, whose status is 101.
    pub headers: HeaderMap,
}

/// A connection that is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Turned {
    /// Status of the HTTP answer.
    pub status: StatusCode,
    /// Its text.
    pub message: String,
}

impl RequestHead<'_> {
    /// Finds out who connects, and whether they may.
    ///
    /// # Errors
    /// [`Turned`] for an unknown path, a foreign origin, a missing or unknown token.
    pub fn admit(&self, config: &WsConfig, now: Timestamp) -> Result<Caller, Turned> {
        if !matches!(self.path, "/" | "/ws") {
            return Err(turned(StatusCode::NOT_FOUND, "the registry is at /ws"));
        }
        self.check_origin(&config.origins)?;
        config
            .authenticator
            .authenticate(self.token(), now)
            .map_err(|ErrorInfo { message, .. }| turned(StatusCode::UNAUTHORIZED, &message))
    }

    /// Whether the request asks for a WebSocket, rightly or not.
    pub fn asks_for_websocket(&self) -> bool {
        self.text(header::UPGRADE)
            .is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
    }

    /// Finds out who connects, and what to answer.
    pub(crate) fn open(&self, config: &WsConfig, now: Timestamp) -> Result<Admission, Turned> {
        let caller = self.admit(config, now)?;
        let mut request = Request::new(());
        self.headers.clone_into(request.headers_mut());
        let mut response = create_response(&request)
            .map_err(|error| turned(StatusCode::BAD_REQUEST, &error.to_string()))?;
        self.accept_protocol(&mut response);
        Ok(Admission {
            caller,
            headers: std::mem::take(response.headers_mut()),
        })
    }

    fn accept_protocol(&self, response: &mut Response) {
        if self.protocols().any(|protocol| protocol == PROTOCOL) {
            let value = header::HeaderValue::from_static(PROTOCOL);
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
    }

    fn text(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A browser sends the origin of the page: without this check any page could use a registry on the reader's host.
    ///
    /// # Errors
    /// [`Turned`] for an origin that is neither the daemon's own nor one of `origins`.
    pub fn check_origin(&self, origins: &[String]) -> Result<(), Turned> {
        if !self.headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let origin = self.text(header::ORIGIN).unwrap_or_default();
        let is_own = origin
            .split_once("://")
            .is_some_and(|(_, host)| self.text(header::HOST) == Some(host));
        if is_own || origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        Err(turned(
            StatusCode::FORBIDDEN,
            "connections from this origin are not allowed",
        ))
    }

    /// The token, from the header or, for browsers, from a subprotocol.
    pub fn token(&self) -> Option<&str> {
        let bearer = self
            .text(header::AUTHORIZATION)
            .and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| {
            self.protocols()
                .find_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL))
        })
    }

    fn protocols(&self) -> impl Iterator<Item = &str> {
        let offered = self
            .text(header::SEC_WEBSOCKET_PROTOCOL)
            .unwrap_or_default();
        offered.split(',').map(str::trim)
    }
}

fn turned(status: StatusCode, message: &str) -> Turned {
    Turned {
        status,
        message: message.to_owned(),
    }
}

/// Admits a request and completes the answer to it.
#[expect(clippy::result_large_err, reason = "the type is the library's")]
pub(crate) fn answer(
    request: &Request,
    mut response: Response,
    admit: impl FnOnce(RequestHead<'_>) -> Result<(), Turned>,
) -> Result<Response, ErrorResponse> {
    let head = RequestHead {
        path: request.uri().path(),
        headers: request.headers(),
    };
    match admit(head) {
        Ok(()) => {
            head.accept_protocol(&mut response);
            Ok(response)
        }
        Err(Turned { status, message }) => {
            let mut response = ErrorResponse::new(Some(message));
            *response.status_mut() = status;
            Err(response)
        }
    }
}
