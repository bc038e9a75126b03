//! Routes for operators, outside the table of actions.

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use registry_ws::RequestHead;
use serde::Serialize;
use serde_json::json;

use crate::server::{Shared, refuse};
use crate::{answer, openapi};

/// Paths outside the table of actions, each with GET.
pub const OPERATIONAL: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi.json",
];

/// The form of `/metrics` for those who ask for it, as Prometheus does.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The form of `/metrics` for everybody else.
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The version of the routes under `/v1`.
const API_VERSION: &str = "v1";

/// Whether a part of the registry works.
#[derive(Debug, Serialize)]
struct PartState {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl PartState {
    fn of(result: Result<(), String>) -> Self {
        Self {
            ready: result.is_ok(),
            reason: result.err(),
        }
    }
}

/// The process is alive.
pub(crate) async fn healthz() -> Response {
    answer::json(StatusCode::OK, &json!({ "status": "alive" }))
}

/// Whether reads and writes are answered.
async fn readiness(shared: &Shared) -> (PartState, PartState) {
    let registry = shared.api.registry();
    let now = shared.api.now();
    let told = |error: &registry_core::engine::RegistryError| {
        registry_api::ErrorInfo::of(error, now).message
    };
    let reads = match registry.view().await {
        Ok(_) if registry.is_closed() => Err("the registry is closed".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(told(&error)),
    };
    let writes = registry
        .check_writable()
        .await
        .map_err(|error| told(&error));
    (PartState::of(reads), PartState::of(writes))
}

/// Whether reads and writes are answered, each with its reason where it is not.
pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let (reads, writes) = readiness(&shared).await;
    let is_ready = reads.ready && writes.ready && !shared.is_closing();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    answer::json(
        status,
        &json!({ "ready": is_ready, "reads": reads, "writes": writes }),
    )
}

/// Figures for Prometheus.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if shared.config.is_metrics_guarded {
        let asks = RequestHead {
            path: request.uri().path(),
            headers: request.headers(),
        };
        let authenticator = &shared.ws.config().authenticator;
        if let Err(error) = authenticator.authenticate(asks.token(), shared.api.now()) {
            return refuse(request.extensions(), error);
        }
    }
    let (reads, writes) = readiness(&shared).await;
    shared.metrics.is_ready("reads", reads.ready);
    shared.metrics.is_ready("writes", writes.ready);
    let accepts_open = request.headers().get_all(header::ACCEPT).iter();
    let accepts_open = accepts_open
        .filter_map(|accepted| accepted.to_str().ok())
        .any(|accepted| accepted.contains("application/openmetrics-text"));
    if accepts_open {
        answer::body(StatusCode::OK, OPENMETRICS, shared.metrics.open_metrics())
    } else {
        answer::body(StatusCode::OK, PLAIN_METRICS, shared.metrics.plain())
    }
}

/// The OpenAPI document.
pub(crate) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());
    answer::body(StatusCode::OK, "application/json", DOCUMENT.as_str())
}

/// What answers here.
pub(crate) async fn version() -> Response {
    let version = json!({
        "name": "harness",
        "version": env!("CARGO_PKG_VERSION"),
        "commit": option_env!("HARNESS_COMMIT"),
        "api": API_VERSION,
    });
    answer::json(StatusCode::OK, &version)
}

/// What a person or a program finds at the root.
pub(crate) fn root() -> Response {
    let pointer = json!({
        "name": "harness",
        "routes": "/v1",
        "openapi": "/openapi.json",
        "websocket": "/ws",
    });
    answer::json(StatusCode::OK, &pointer)
}

/// A path that there is not.
pub(crate) async fn unknown(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let message = format!("there is no path {:?}", request.uri().path());
    shared.refuse(&request, registry_api::ErrorCode::UnknownRoute, message)
}

/// A method that the path does not take.
pub(crate) async fn wrong_method(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let message = format!(
        "{} does not take {}",
        request.uri().path(),
        request.method()
    );
    shared.refuse(&request, registry_api::ErrorCode::MethodNotAllowed, message)
}
