//! A small client, and a server on a free port of the loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use async_net::TcpStream;
use async_tungstenite::tungstenite::client::IntoClientRequest as _;
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, client_async};
use futures_util::StreamExt as _;
use registry_api::Api;
use registry_core::engine::{Driver, EngineConfig, Registry};
use registry_core::{MemoryStore, SystemClock};
use registry_ws::{WsConfig, WsServer};
use serde_json::{Value, json};

/// A registry in memory behind a WebSocket face.
pub(crate) struct Server {
    pub(crate) registry: Registry,
    pub(crate) addr: SocketAddr,
    pub(crate) ws: WsServer,
}

impl Server {
    pub(crate) async fn start(config: WsConfig) -> Self {
        Self::start_with(config, EngineConfig::default()).await
    }

    pub(crate) async fn start_with(config: WsConfig, engine: EngineConfig) -> Self {
        let (server, driver) = Self::start_undriven(config, engine).await;
        smol::spawn(driver.run()).detach();
        server
    }

    /// A server whose writes wait until somebody runs the driver.
    pub(crate) async fn start_undriven(config: WsConfig, engine: EngineConfig) -> (Self, Driver) {
        let store = Arc::new(MemoryStore::new());
        let (registry, driver) = Registry::open(store, engine, Arc::new(SystemClock::new()))
            .await
            .expect("memory opens");
        let server = WsServer::new(Api::new(registry.clone()), config);
        let listener = server
            .listen("127.0.0.1:0")
            .await
            .expect("the loopback has a free port");
        let addr = listener.local_addr().expect("it listens");
        let ws = server;
        smol::spawn(async move {
            loop {
                smol::spawn(listener.next().await.handle()).detach();
            }
        })
        .detach();
        (Self { registry, addr, ws }, driver)
    }

    pub(crate) async fn connect(&self) -> Client {
        self.connect_with(&[])
            .await
            .expect("the handshake succeeds")
    }

    pub(crate) async fn connect_with(
        &self,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Error> {
        let mut request = format!("ws://{}/ws", self.addr).into_client_request()?;
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, value.parse().expect("a header value"));
        }
        let stream = TcpStream::connect(self.addr)
            .await
            .expect("the server listens");
        let (socket, _) = client_async(request, stream).await?;
        Ok(Client {
            socket,
            requests: 0,
            events: Vec::new(),
        })
    }
}

/// A connection that tells answers from events.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    requests: u64,
    events: Vec<Value>,
}

impl Client {
    pub(crate) async fn send(&mut self, action: &str, params: Value) -> String {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        let request = json!({ "id": id, "type": "request", "action": action, "params": params });
        self.socket
            .send(Message::text(request.to_string()))
            .await
            .expect("the connection is open");
        id
    }

    /// The next message, whatever it is.
    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("messages are JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a message, found {other:?}"),
            }
        }
    }

    /// Asks and waits for the answer; events that come first are kept.
    pub(crate) async fn request(&mut self, action: &str, params: Value) -> Value {
        let id = self.send(action, params).await;
        loop {
            let message = self.receive().await;
            match message["type"].as_str() {
                Some("response") if message["id"] == id.as_str() => return message,
                Some("event") => self.events.push(message),
                _ => panic!("expected the answer to {id} or an event, found {message}"),
            }
        }
    }

    /// Asks for something that must succeed.
    pub(crate) async fn ask(&mut self, action: &str, params: Value) -> Value {
        let mut response = self.request(action, params).await;
        assert!(response.get("error").is_none(), "{response}");
        response["data"].take()
    }

    /// Asks for something that must be refused, and answers the code.
    pub(crate) async fn refused(&mut self, action: &str, params: Value) -> String {
        let response = self.request(action, params).await;
        response["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("expected an error, found {response}"))
            .to_owned()
    }

    /// The next event, all of it.
    pub(crate) async fn next_event(&mut self) -> Value {
        let event = if self.events.is_empty() {
            self.receive().await
        } else {
            self.events.remove(0)
        };
        assert_eq!(event["type"], "event", "{event}");
        event
    }

    /// The name and the data of the next event.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        let mut event = self.next_event().await;
        (
            event["event"]
                .as_str()
                .expect("events have names")
                .to_owned(),
            event["data"].take(),
        )
    }
}

/// An entry with the two fields that it needs.
pub(crate) fn entry(name: &str) -> Value {
    json!({ "name": name, "version": "1.0.0" })
}
