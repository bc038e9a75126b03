//! The request that opens a connection: path, origin, token.

use async_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
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
        self.check_origin(config)?;
        config
            .authenticator
            .authenticate(self.token(), now)
            .map_err(|ErrorInfo { message, .. }| turned(StatusCode::UNAUTHORIZED, &message))
    }

    fn text(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A browser sends the origin of the page: without this check any page could use a registry on the reader's host.
    fn check_origin(&self, config: &WsConfig) -> Result<(), Turned> {
        if !self.headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let origin = self.text(header::ORIGIN).unwrap_or_default();
        let is_own = origin
            .split_once("://")
            .is_some_and(|(_, host)| self.text(header::HOST) == Some(host));
        if is_own || config.origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        Err(turned(
            StatusCode::FORBIDDEN,
            "connections from this origin are not allowed",
        ))
    }

    fn token(&self) -> Option<&str> {
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
    let offers_protocol = head.protocols().any(|protocol| protocol == PROTOCOL);
    match admit(head) {
        Ok(()) => {
            if offers_protocol {
                let value = header::HeaderValue::from_static(PROTOCOL);
                response
                    .headers_mut()
                    .insert(header::SEC_WEBSOCKET_PROTOCOL, value);
            }
            Ok(response)
        }
        Err(Turned { status, message }) => {
            let mut response = ErrorResponse::new(Some(message));
            *response.status_mut() = status;
            Err(response)
        }
    }
}
