//! One connection to a daemon.

use std::collections::VecDeque;
use std::fmt;
use std::io;

use async_net::TcpStream;
use async_net::unix::UnixStream;
use async_tungstenite::tungstenite::client::IntoClientRequest as _;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{Error as WsError, Message};
use async_tungstenite::{WebSocketStream, client_async_with_config};
use futures_lite::{AsyncRead, AsyncWrite, StreamExt as _};
use registry_api::{ErrorInfo, EventMessage, Response};
use registry_core::TransactionId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Address, ClientError};

/// Events that are kept while an answer is waited for.
const EVENTS_MAX: usize = 65_536;

/// What the daemon is called over a Unix socket, where the protocol needs a name.
const UNIX_URL: &str = "ws://localhost/ws";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Requests, answers and events over one WebSocket.
pub struct Connection {
    address: Address,
    socket: WebSocketStream<Box<dyn Stream>>,
    events: VecDeque<EventMessage>,
}

/// The answer to a request that was [sent](Connection::send).
#[derive(Debug)]
pub struct Answered {
    /// The id of the request; none where the daemon could not read it.
    pub id: Option<String>,
    /// The data, or the refusal.
    pub data: Result<Value, ErrorInfo>,
}

enum Incoming {
    Answer(Answered),
    Event(EventMessage),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, with a token where the daemon asks for one.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::TurnedAway`].
    pub async fn connect(address: &Address, token: Option<&str>) -> Result<Self, ClientError> {
        let url = match address {
            Address::Tcp { url, .. } => url,
            Address::Unix(_) => UNIX_URL,
        };
        let mut request = url
            .into_client_request()
            .map_err(|_| ClientError::Address {
                found: url.to_owned(),
            })?;
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse();
            let value = value.map_err(|_| ClientError::Token)?;
            request.headers_mut().insert("authorization", value);
        }
        let unreachable = |problem: String| ClientError::Unreachable {
            address: address.to_string(),
            problem,
        };
        let stream = open(address).await;
        let stream = stream.map_err(|error| unreachable(error.to_string()))?;
        let mut config = WebSocketConfig::default();
        // The daemon is trusted, and one page of a list is one frame.
        config.max_frame_size = config.max_message_size;
        let connected = client_async_with_config(request, stream, Some(config)).await;
        let (socket, _) = connected.map_err(|error| match error {
            WsError::Http(response) => ClientError::TurnedAway {
                address: address.to_string(),
                status: response.status().as_u16(),
                body: response
                    .body()
                    .as_deref()
                    .map(|body| String::from_utf8_lossy(body).into_owned())
                    .unwrap_or_default(),
            },
            error => unreachable(error.to_string()),
        })?;
        Ok(Self {
            address: address.clone(),
            socket,
            events: VecDeque::new(),
        })
    }

    /// Asks, and waits for the answer. Answers to other requests are passed over; events that come first are kept.
    ///
    /// # Errors
    /// [`ClientError::Refused`] by the table of errors; the connection's end.
    pub async fn call(&mut self, action: &str, params: &Value) -> Result<Value, ClientError> {
        let id = self.send(action, params).await?;
        loop {
            let answered = self.answer().await?;
            if answered.id.as_ref() == Some(&id) {
                return Ok(answered.data?);
            }
        }
    }

    /// Asks, and answers the id of the request. Answers come in any order.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn send(&mut self, action: &str, params: &Value) -> Result<String, ClientError> {
        let id = TransactionId::fresh().to_string();
        let request = json!({ "id": id, "type": "request", "action": action, "params": params });
        let sent = self.socket.send(Message::text(request.to_string())).await;
        sent.map_err(|error| self.ended(error.to_string()))?;
        Ok(id)
    }

    /// The next answer to any request. Events that come first are kept.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn answer(&mut self) -> Result<Answered, ClientError> {
        loop {
            match self.receive().await? {
                Incoming::Answer(answered) => return Ok(answered),
                Incoming::Event(_) if self.events.len() >= EVENTS_MAX => {
                    return Err(ClientError::TooManyEvents(EVENTS_MAX));
                }
                Incoming::Event(event) => self.events.push_back(event),
            }
        }
    }

    /// The next event of a subscription.
    ///
    /// # Errors
    /// A refusal that belongs to no request, such as that of a daemon that ends; the connection's end.
    pub async fn event(&mut self) -> Result<EventMessage, ClientError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        loop {
            match self.receive().await? {
                Incoming::Event(event) => return Ok(event),
                Incoming::Answer(Answered {
                    data: Err(refusal), ..
                }) => return Err(refusal.into()),
                Incoming::Answer(_) => {}
            }
        }
    }

    /// Waits for the connection's end, and answers the daemon's pings until then. What comes is passed over.
    pub async fn end(&mut self) -> ClientError {
        loop {
            if let Err(error) = self.receive().await {
                return error;
            }
        }
    }

    fn ended(&self, problem: String) -> ClientError {
        ClientError::Unreachable {
            address: self.address.to_string(),
            problem,
        }
    }

    async fn receive(&mut self) -> Result<Incoming, ClientError> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        let unreadable = |error: serde_json::Error| ClientError::Unreadable(error.to_string());
        loop {
            let text = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(_))) | None => {
                    return Err(self.ended("the daemon closed the connection".to_owned()));
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(self.ended(error.to_string())),
            };
            let Kind { r#type } = serde_json::from_str(&text).map_err(unreadable)?;
            if r#type == "event" {
                let event = serde_json::from_str(&text).map_err(unreadable)?;
                return Ok(Incoming::Event(event));
            }
            let response: Response = serde_json::from_str(&text).map_err(unreadable)?;
            let data = match (response.error, response.data) {
                (Some(error), _) => Err(error),
                (None, Some(data)) => Ok(serde_json::from_str(data.get()).map_err(unreadable)?),
                (None, None) => {
                    let problem = "it has neither data nor error";
                    return Err(ClientError::Unreadable(problem.to_owned()));
                }
            };
            return Ok(Incoming::Answer(Answered {
                id: response.id,
                data,
            }));
        }
    }
}

async fn open(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp { host, port, .. } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
    }
}
