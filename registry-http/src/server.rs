//! The HTTP face of one registry.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use registry_api::{Api, Caller, ErrorCode, ErrorInfo, Peer};
use registry_core::Timestamp;
use registry_ws::{Place, WsServer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt as _;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::answer::{REQUEST_ID, REVISION, refusal};
use crate::config::HttpConfig;
use crate::connection::{self, ConnectionEnd, Link};
use crate::metrics::{Engine, Metrics};
use crate::ops::OPERATIONAL;
use crate::rate::Rates;
use crate::router;
use crate::tls::Tls;

/// Label of what is in no table.
const UNKNOWN: &str = "-";
/// Longest name that a client may give a request, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The HTTP face of one registry, with the WebSocket face on the same connections. A clone is cheap.
#[derive(Debug, Clone)]
pub struct HttpServer {
    shared: Arc<Shared>,
    router: Router,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) ws: WsServer,
    pub(crate) config: HttpConfig,
    pub(crate) metrics: Metrics,
    closing: watch::Sender<bool>,
    rates: Option<Rates>,
    in_flight: Arc<Semaphore>,
    pub(crate) watches: Arc<Semaphore>,
    websockets: Arc<AtomicUsize>,
}

/// Counts a connection as a WebSocket until it is dropped.
#[derive(Debug)]
pub(crate) struct CountedWebSocket(Arc<AtomicUsize>);

impl Drop for CountedWebSocket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is known of a request beside what it says.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) link: Arc<Link>,
    /// The path template that it took: the only part of a path that goes into metrics and spans.
    route: OnceLock<&'static str>,
}

impl Asked {
    /// Notes the path template that the request took.
    pub(crate) fn took(&self, route: &'static str) {
        self.route.get_or_init(|| route);
    }
}

impl Shared {
    pub(crate) fn error(&self, code: ErrorCode, message: impl Into<String>) -> ErrorInfo {
        ErrorInfo::new(code, message, self.api.now())
    }

    /// An error of the table as the answer to a request.
    pub(crate) fn refuse(
        &self,
        request: &Request,
        code: ErrorCode,
        message: impl Into<String>,
    ) -> Response {
        refuse(request.extensions(), self.error(code, message))
    }

    /// Checks how fast a token, or a peer where none is required, asks.
    pub(crate) fn check_rate(&self, peer: Peer, caller: &Caller) -> Result<(), ErrorInfo> {
        let token = self
            .ws
            .config()
            .authenticator
            .is_required()
            .then_some(caller);
        let is_allowed = self
            .rates
            .as_ref()
            .is_none_or(|rates| rates.allows(peer, token));
        if is_allowed {
            return Ok(());
        }
        Err(self.error(ErrorCode::RateLimited, "requests_per_second is exceeded"))
    }

    /// A place among the requests under way.
    pub(crate) fn begin_request(&self) -> Result<OwnedSemaphorePermit, ErrorInfo> {
        let place = Arc::clone(&self.in_flight).try_acquire_owned();
        place.map_err(|_| {
            let message = format!(
                "requests_in_flight_max is {}, all under way",
                self.config.requests_in_flight_max
            );
            self.error(ErrorCode::Overloaded, message)
        })
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub(crate) fn count_websocket(&self) -> CountedWebSocket {
        self.websockets.fetch_add(1, Ordering::SeqCst);
        CountedWebSocket(Arc::clone(&self.websockets))
    }

    /// Waits until the face is closed.
    pub(crate) async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives as long as this.
        drop(closing.wait_for(|is_closing| *is_closing).await);
    }
}

impl HttpServer {
    /// The face of the registry behind `ws`, whose connections, tokens and origins it shares.
    pub fn new(ws: WsServer, config: HttpConfig) -> Self {
        let watches = Arc::new(Semaphore::new(config.watches_max));
        let websockets = Arc::new(AtomicUsize::new(0));
        let engine = Engine {
            registry: ws.api().registry().clone(),
            ws: ws.clone(),
            watches: {
                let (watches, watches_max) = (Arc::clone(&watches), config.watches_max);
                Box::new(move || watches_max - watches.available_permits())
            },
            websockets: {
                let websockets = Arc::clone(&websockets);
                Box::new(move || websockets.load(Ordering::SeqCst))
            },
            begun: ws.api().now().as_nanos() / 1_000_000_000,
        };
        let shared = Arc::new(Shared {
            api: ws.api().clone(),
            metrics: Metrics::new(engine),
            rates: Rates::new(&config),
            closing: watch::Sender::new(false),
            in_flight: Arc::new(Semaphore::new(config.requests_in_flight_max)),
            watches,
            websockets,
            ws,
            config,
        });
        let router = router::build(Arc::clone(&shared));
        Self { shared, router }
    }

    /// The bounds.
    pub fn config(&self) -> &HttpConfig {
        &self.shared.config
    }

    /// Connections that are open now, those of WebSocket among them.
    pub fn connections(&self) -> usize {
        self.shared.ws.connections()
    }

    /// Connections that are WebSockets now.
    pub fn websockets(&self) -> usize {
        self.shared.websockets.load(Ordering::SeqCst)
    }

    /// Watches that are open now, streams of events and polls that wait.
    pub fn watches(&self) -> usize {
        self.shared.config.watches_max - self.shared.watches.available_permits()
    }

    /// Ends every connection after the requests under way were answered; streams of events and WebSocket
    /// connections end at once.
    pub fn begin_close(&self) {
        self.shared.closing.send_replace(true);
        self.shared.ws.begin_close();
    }

    /// Handles a connection to its end, as a WebSocket from where it becomes one. Dropping the future ends it at once.
    ///
    /// # Errors
    /// [`ConnectionEnd`] where it was not closed in order.
    pub async fn handle<S>(&self, stream: S, peer: impl Into<Peer>) -> Result<(), ConnectionEnd>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection::handle(self, stream, peer.into()).await
    }

    /// As [`handle`](Self::handle), for a connection that begins with TLS.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub async fn handle_tls<S>(
        &self,
        tls: &Tls,
        stream: S,
        peer: impl Into<Peer>,
    ) -> Result<(), ConnectionEnd>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection::handle_tls(self, tls, stream, peer.into()).await
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.shared.ws.place()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Answers one request.
    pub(crate) async fn respond(&self, mut request: Request, link: Arc<Link>) -> Response {
        let asked = Arc::new(Asked {
            id: request_id(request.headers(), self.shared.api.now()),
            link,
            route: OnceLock::new(),
        });
        // Its fields cost more than most answers: they are kept where somebody wants to read them.
        let span = tracing::debug_span!(
            "request",
            request_id = asked.id,
            peer_addr = %asked.link.connection.peer(),
            method = %request.method(),
            route = tracing::field::Empty,
            status = tracing::field::Empty,
        );
        let (clock, method) = (
            self.shared.api.registry().clock(),
            method_label(request.method()),
        );
        let begun = clock.monotonic();
        request.extensions_mut().insert(Arc::clone(&asked));
        let operational = OPERATIONAL
            .iter()
            .find(|path| **path == request.uri().path());
        let routed = self.router.clone().oneshot(request.map(Body::new));
        let Ok(mut response) = routed.instrument(span.clone()).await;
        let route = asked.route.get().or(operational).copied();
        let route = route.unwrap_or(UNKNOWN);
        span.record("route", route);
        span.record("status", response.status().as_u16());
        span.in_scope(|| tracing::debug!("answered"));
        let latency = clock.monotonic().saturating_sub(begun);
        let status = response.status().as_u16();
        // A fault of ours; what a peer can bring about by itself must not fill a log.
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::warn!(request_id = asked.id, method, route, status, "answered");
        }
        self.shared.metrics.answered(route, method, status, latency);
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&asked.id) {
            headers.insert(REQUEST_ID, id);
        }
        let revision = self.shared.api.registry().stale_view().revision();
        headers.entry(REVISION).or_insert_with(|| revision.0.into());
        response
    }
}

/// A method as a label: anybody can invent one.
fn method_label(method: &Method) -> &'static str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let names = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];
    let found = known.iter().zip(names).find(|(known, _)| *known == method);
    found.map_or(UNKNOWN, |(_, name)| name)
}

/// An error as the answer to a request with these extensions.
pub(crate) fn refuse(asked: &Extensions, mut error: ErrorInfo) -> Response {
    if let Some(asked) = asked.get::<Arc<Asked>>() {
        error = error.for_request(&asked.id);
    }
    refusal(&error)
}

/// The client's name for its request where it is legal, else a new one.
fn request_id(headers: &HeaderMap, now: Timestamp) -> String {
    let is_legal = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(is_legal)
        .map_or_else(|| fresh_id(now), str::to_owned)
}

/// A name for a request: a UUID v7 whose random part need not be a secret, nor cost a call of the system.
fn fresh_id(now: Timestamp) -> String {
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    let millis = u64::try_from(now.as_nanos() / 1_000_000).unwrap_or_default();
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let mut text = Uuid::encode_buffer();
    id.hyphenated().encode_lower(&mut text).to_owned()
}
