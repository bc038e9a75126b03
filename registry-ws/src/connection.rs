//! One connection, from the handshake to the end: pure async, on any executor.

use std::net::SocketAddr;
use std::sync::Arc;

use async_io::Timer;
use async_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use async_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use futures_lite::future::{self, poll_once};
use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use futures_util::SinkExt as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use registry_api::{Caller, ErrorCode, parse_request};
use serde::Serialize;

use crate::config::WsConfig;
use crate::handshake;
use crate::server::{Place, Shared};
use crate::session::{Output, Session};

/// Bytes that are collected before they are written.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes that are read at a time.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// A connection that waits to be handled: run [`handle`](Self::handle) on any executor.
#[derive(Debug)]
pub struct ConnectionHandler<S> {
    shared: Arc<Shared>,
    place: Option<Place>,
    stream: S,
    peer: SocketAddr,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// There were as many connections as allowed.
    #[error("connections_max is reached")]
    TooMany,
    /// The request that opens the connection took too long.
    #[error("the handshake took longer than handshake_timeout")]
    HandshakeTimeout,
    /// The face was closed.
    #[error("the daemon is about to end")]
    Closing,
    /// The peer answered no ping.
    #[error("the peer was silent for longer than ping_interval")]
    Silent,
    /// The peer did not take what waited for it.
    #[error("the peer took nothing for longer than write_timeout")]
    Stalled,
    /// The protocol was violated, or the stream failed.
    #[error("{0}")]
    Failed(#[from] WsError),
}

impl<S> ConnectionHandler<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(crate) fn new(
        shared: Arc<Shared>,
        place: Option<Place>,
        stream: S,
        peer: SocketAddr,
    ) -> Self {
        Self {
            shared,
            place,
            stream,
            peer,
        }
    }

    /// The peer's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Handles the connection to its end. Dropping the future ends it at once.
    ///
    /// # Errors
    /// [`ConnectionEnd`] where it was not closed by the peer.
    pub async fn handle(self) -> Result<(), ConnectionEnd> {
        let Self {
            shared,
            place,
            mut stream,
            peer,
        } = self;
        let Some(_place) = place else {
            let refusal =
                b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
            // Whether the peer still hears it makes no difference.
            drop(stream.write_all(refusal).await);
            drop(stream.close().await);
            return Err(ConnectionEnd::TooMany);
        };
        let handshake = open(&shared, stream);
        let timeout = async {
            Timer::after(shared.config.handshake_timeout).await;
            Err(ConnectionEnd::HandshakeTimeout)
        };
        let (socket, caller) = future::or(handshake, timeout).await?;
        tracing::debug!(%peer, actor = caller.actor, "connected");
        let mut connection = Connection::new(&shared, socket, caller);
        let ended = connection.run().await;
        connection.say_goodbye(&ended).await;
        tracing::debug!(%peer, ended = ?ended, "disconnected");
        ended
    }
}

/// Answers the request that opens the connection.
async fn open<S>(shared: &Shared, stream: S) -> Result<(WebSocketStream<S>, Caller), ConnectionEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut caller = None;
    let admit = |head: handshake::RequestHead<'_>| {
        caller = Some(head.admit(&shared.config, shared.api.now())?);
        Ok(())
    };
    #[expect(clippy::result_large_err, reason = "the type is the library's")]
    let callback = |request: &_, response| handshake::answer(request, response, admit);
    let config = Some(protocol_config(&shared.config));
    let socket = accept_hdr_async_with_config(stream, callback, config).await?;
    let caller = caller.expect("a handshake that succeeded has admitted somebody");
    Ok((socket, caller))
}

fn protocol_config(config: &WsConfig) -> WebSocketConfig {
    let mut protocol = WebSocketConfig::default();
    protocol.read_buffer_size = READ_BUFFER_BYTES;
    protocol.write_buffer_size = WRITE_BUFFER_BYTES.min(config.queued_bytes_max);
    protocol.max_write_buffer_size = config.queued_bytes_max.max(WRITE_BUFFER_BYTES * 2);
    protocol.max_message_size = Some(config.message_bytes_max);
    protocol.max_frame_size = Some(config.frame_bytes_max);
    protocol
}

struct Connection<'a, S> {
    shared: &'a Shared,
    config: &'a WsConfig,
    socket: WebSocketStream<S>,
    session: Session,
    rate: Option<DefaultDirectRateLimiter>,
    ping: Timer,
    /// Whether nothing came since the last ping.
    is_silent: bool,
}

/// What a connection waits for.
enum Next {
    Frame(Option<Result<Message, WsError>>),
    Output(Output),
    Ping,
    Closing,
}

impl<'a, S> Connection<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn new(shared: &'a Shared, socket: WebSocketStream<S>, caller: Caller) -> Self {
        let config = &shared.config;
        Self {
            shared,
            config,
            socket,
            session: Session::new(shared.api.clone(), caller, config.subscriptions_max),
            rate: config
                .requests_per_second
                .map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            ping: Timer::interval(config.ping_interval),
            is_silent: false,
        }
    }

    async fn run(&mut self) -> Result<(), ConnectionEnd> {
        loop {
            match self.next().await? {
                Next::Frame(None) => return Ok(()),
                Next::Frame(Some(frame)) => {
                    self.is_silent = false;
                    if !self.take(frame?).await? {
                        return Ok(());
                    }
                }
                Next::Output(output) => self.give(output).await?,
                Next::Closing => return Err(ConnectionEnd::Closing),
                Next::Ping if self.is_silent => return Err(ConnectionEnd::Silent),
                Next::Ping => {
                    self.is_silent = true;
                    self.send(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    /// What is ready now; where nothing is, what was collected is written before waiting.
    async fn next(&mut self) -> Result<Next, ConnectionEnd> {
        if let Some(next) = poll_once(self.ready()).await {
            return Ok(next);
        }
        self.flush().await?;
        Ok(self.ready().await)
    }

    async fn ready(&mut self) -> Next {
        let Self {
            shared,
            config,
            socket,
            session,
            ping,
            ..
        } = self;
        let in_flight = session.requests_in_flight();
        let work = &mut session.work;
        let output = async {
            loop {
                match work.next().await {
                    Some(Some(output)) => return Next::Output(output),
                    // A subscription that was ended.
                    Some(None) => {}
                    None => future::pending().await,
                }
            }
        };
        let frame = async {
            if in_flight >= config.requests_in_flight_max {
                future::pending::<()>().await;
            }
            Next::Frame(socket.next().await)
        };
        let tick = async {
            ping.next().await;
            Next::Ping
        };
        let closing = async {
            shared.closing().await;
            // The answers that it waits for come first.
            if in_flight > 0 {
                future::pending::<()>().await;
            }
            Next::Closing
        };
        let own = future::or(output, closing);
        future::or(own, future::or(frame, tick)).await
    }

    /// Takes a frame, and answers whether the connection goes on.
    async fn take(&mut self, message: Message) -> Result<bool, ConnectionEnd> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Ok(false),
            Message::Binary(_) => {
                let refusal = self.session.refusal(
                    None,
                    ErrorCode::BadRequest,
                    "expected text, found binary data",
                );
                self.send_json(&refusal).await?;
                return Ok(true);
            }
            _ => return Ok(true),
        };
        let request = match parse_request(&text) {
            Ok(request) => request,
            Err((id, message)) => {
                let refusal = self.session.refusal(id, ErrorCode::BadRequest, message);
                self.send_json(&refusal).await?;
                return Ok(true);
            }
        };
        if self.rate.as_ref().is_some_and(|rate| rate.check().is_err()) {
            let message = "requests_per_second is exceeded";
            let refusal = self
                .session
                .refusal(Some(request.id), ErrorCode::RateLimited, message);
            self.send_json(&refusal).await?;
            return Ok(true);
        }
        if let Some(output) = self.session.request(request).await {
            self.tell(output).await?;
        }
        Ok(true)
    }

    /// Tells what a piece of work came to.
    async fn give(&mut self, output: Output) -> Result<(), ConnectionEnd> {
        if self.session.finish(&output) {
            self.tell(output).await
        } else {
            Ok(())
        }
    }

    async fn tell(&mut self, output: Output) -> Result<(), ConnectionEnd> {
        match output {
            Output::Response(response) => self.send_json(&response).await,
            Output::Unsubscribed(response, subscription) => {
                self.session.forget(&subscription);
                self.send_json(&response).await
            }
            Output::Subscribed(response, subscription) => {
                self.send_json(&response).await?;
                self.session.follow(subscription);
                Ok(())
            }
            Output::Told(message, subscription) => {
                self.send_json(&message).await?;
                self.session.follow(subscription);
                Ok(())
            }
            Output::Ended { error: None, .. } => Ok(()),
            Output::Ended {
                subscription,
                error: Some(error),
            } => {
                tracing::warn!(subscription, error = error.message, "a subscription failed");
                let refusal = self.session.refusal(None, error.code, error.message);
                self.send_json(&refusal).await
            }
        }
    }

    async fn send_json(&mut self, message: &impl Serialize) -> Result<(), ConnectionEnd> {
        let text =
            serde_json::to_string(message).expect("messages have string keys and no failing parts");
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), ConnectionEnd> {
        let Self { config, socket, .. } = self;
        let written = async { Ok(socket.feed(message).await?) };
        future::or(written, stalled(config)).await
    }

    async fn flush(&mut self) -> Result<(), ConnectionEnd> {
        let Self { config, socket, .. } = self;
        let written = async { Ok(futures_util::SinkExt::flush(socket).await?) };
        future::or(written, stalled(config)).await
    }

    /// Tells the peer why, where it can still be told.
    async fn say_goodbye(&mut self, ended: &Result<(), ConnectionEnd>) {
        let (code, reason) = match ended {
            Ok(()) => (CloseCode::Normal, ""),
            Err(ConnectionEnd::Closing) => (CloseCode::Away, "the daemon is about to end"),
            Err(ConnectionEnd::Silent) => (CloseCode::Policy, "no answer to a ping"),
            Err(ConnectionEnd::Failed(WsError::Capacity(CapacityError::MessageTooLong {
                ..
            }))) => (
                CloseCode::Size,
                "the message is larger than message_bytes_max",
            ),
            Err(ConnectionEnd::Failed(WsError::Utf8(_))) => {
                (CloseCode::Invalid, "the text is not UTF-8")
            }
            Err(ConnectionEnd::Failed(WsError::Protocol(_))) => {
                (CloseCode::Protocol, "the protocol was violated")
            }
            Err(_) => return,
        };
        let Self { config, socket, .. } = self;
        let close = async {
            drop(
                socket
                    .close(Some(CloseFrame {
                        code,
                        reason: reason.into(),
                    }))
                    .await,
            );
            Ok(())
        };
        drop(future::or(close, stalled(config)).await);
    }
}

async fn stalled(config: &WsConfig) -> Result<(), ConnectionEnd> {
    Timer::after(config.write_timeout).await;
    Err(ConnectionEnd::Stalled)
}
