//! The router, built from the table of actions.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use registry_api::ACTIONS;

use crate::server::Shared;
use crate::shape::Shape;
use crate::{entry, ops};

/// Every route: those of the table, those for operators, and where a WebSocket opens.
pub(crate) fn build(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for action in ACTIONS {
        for route in action.routes {
            router = router.route(route.path, of_action(Shape::of(action, *route)));
        }
    }
    router
        .route("/", get(entry::root))
        .route("/ws", get(entry::websocket))
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .route("/openapi.json", get(ops::openapi))
        .route("/version", get(ops::version))
        .fallback(ops::unknown)
        .method_not_allowed_fallback(ops::wrong_method)
        .with_state(shared)
}

fn of_action(shape: Shape) -> MethodRouter<Arc<Shared>> {
    let method =
        Method::from_bytes(shape.route.method.as_bytes()).expect("the table has methods of HTTP");
    let filter = MethodFilter::try_from(method).expect("the table has common methods");
    let shape = Arc::new(shape);
    let handler = move |State(shared): State<Arc<Shared>>,
                        path: Result<RawPathParams, RawPathParamsRejection>,
                        request: Request| {
        let shape = Arc::clone(&shape);
        async move { entry::action(&shared, &shape, path, request).await }
    };
    on(filter, handler)
}
