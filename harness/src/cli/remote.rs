//! A connection to a daemon.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, anyhow, bail};
use async_tungstenite::tungstenite::client::IntoClientRequest as _;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{Error as WsError, Message};
use async_tungstenite::{WebSocketStream, client_async_with_config};
use futures_lite::StreamExt as _;
use harness::core::TransactionId;
use registry_api::{EventMessage, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::exit::{Refused, TurnedAway, Unreachable, Usage};

/// Requests over one connection, one at a time.
pub(crate) struct Remote {
    url: String,
    socket: WebSocketStream<Compat<TcpStream>>,
    events: VecDeque<EventMessage>,
}

enum Incoming {
    Response(Response),
    Event(EventMessage),
}

impl Remote {
    /// Connects, with the token of `HARNESS_TOKEN` where it is set.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let token = std::env::var("HARNESS_TOKEN").ok();
        Self::connect_with(url, token.as_deref()).await
    }

    /// As [`connect`](Self::connect), with a token that may come from elsewhere.
    pub(crate) async fn connect_with(url: &str, token: Option<&str>) -> Result<Self> {
        let unreachable =
            |problem: String| Unreachable(format!("no daemon answers at {url}: {problem}"));
        let mut request = url
            .into_client_request()
            .map_err(|error| Usage(format!("url: {url:?}: {error}")))?;
        if request.uri().scheme_str() != Some("ws") {
            bail!(Usage(format!(
                "url: expected ws://host:port/ws, found {url:?}"
            )));
        }
        if let Some(token) = token {
            let value = format!("Bearer {token}")
                .parse()
                .context("the token cannot be sent as a header")?;
            request.headers_mut().insert("authorization", value);
        }
        let host = request
            .uri()
            .host()
            .unwrap_or("127.0.0.1")
            .trim_matches(['[', ']'])
            .to_owned();
        let port = request.uri().port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        stream.set_nodelay(true)?;
        let mut config = WebSocketConfig::default();
        // The daemon is trusted, and one page of a list is one frame.
        config.max_frame_size = config.max_message_size;
        let connected = client_async_with_config(request, stream.compat(), Some(config)).await;
        let (socket, _) = connected.map_err(|error| match error {
            WsError::Http(response) => {
                let body = response
                    .body()
                    .as_deref()
                    .map(String::from_utf8_lossy)
                    .unwrap_or_default();
                anyhow!(TurnedAway {
                    url: url.to_owned(),
                    status: response.status().as_u16(),
                    body: body.into_owned(),
                })
            }
            error => unreachable(error.to_string()).into(),
        })?;
        Ok(Self {
            url: url.to_owned(),
            socket,
            events: VecDeque::new(),
        })
    }

    /// Asks, and waits for the answer. Events that come first are kept.
    pub(crate) async fn call(&mut self, action: &str, params: &Value) -> Result<Value> {
        let id = TransactionId::fresh().to_string();
        let request = json!({ "id": id, "type": "request", "action": action, "params": params });
        let sent = self.socket.send(Message::text(request.to_string())).await;
        sent.map_err(|error| Unreachable(format!("{}: {error}", self.url)))?;
        loop {
            match self.receive().await? {
                Incoming::Event(event) => self.events.push_back(event),
                Incoming::Response(response) if response.id.as_deref() == Some(&id) => {
                    if let Some(error) = response.error {
                        bail!(Refused(error));
                    }
                    let data = response
                        .data
                        .context("the answer has neither data nor error")?;
                    return Ok(serde_json::from_str(data.get())?);
                }
                Incoming::Response(_) => {}
            }
        }
    }

    /// The next event of a subscription.
    pub(crate) async fn event(&mut self) -> Result<EventMessage> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        loop {
            match self.receive().await? {
                Incoming::Event(event) => return Ok(event),
                Incoming::Response(Response {
                    error: Some(error), ..
                }) => bail!(Refused(error)),
                Incoming::Response(_) => {}
            }
        }
    }

    async fn receive(&mut self) -> Result<Incoming> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        loop {
            let text = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(_))) | None => {
                    bail!(Unreachable(format!(
                        "{}: the daemon closed the connection",
                        self.url
                    )));
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => bail!(Unreachable(format!("{}: {error}", self.url))),
            };
            let Kind { r#type } = serde_json::from_str(&text)?;
            return Ok(match r#type.as_str() {
                "event" => Incoming::Event(serde_json::from_str(&text)?),
                _ => Incoming::Response(serde_json::from_str(&text)?),
            });
        }
    }
}
