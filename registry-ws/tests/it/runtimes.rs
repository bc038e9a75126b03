//! The same handler on another runtime, over that runtime's own sockets.

use std::sync::Arc;

use registry_api::Api;
use registry_core::engine::{EngineConfig, Registry};
use registry_core::{MemoryStore, SystemClock};
use registry_ws::{WsConfig, WsServer};
use serde_json::json;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::client::{Server, entry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_runs_on_tokio_over_its_sockets() {
    let store = Arc::new(MemoryStore::new());
    let opened = Registry::open(store, EngineConfig::default(), Arc::new(SystemClock::new())).await;
    let (registry, driver) = opened.expect("memory opens");
    tokio::spawn(driver.run());
    let server = WsServer::new(Api::new(registry.clone()), WsConfig::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let ws = server.clone();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            tokio::spawn(server.accept(stream.compat(), peer).handle());
        }
    });
    let mut client = Server { registry, addr, ws }.connect().await;
    client.ask("subscribe", json!({})).await;
    client
        .ask("register_service", json!({ "service": entry("api") }))
        .await;
    assert_eq!(client.event().await.0, "registry_loaded");
    assert_eq!(client.event().await.0, "service_registered");
}
