//! One connection, from the handshake to the end: pure async, on any executor.

use std::sync::Arc;

use async_io::Timer;
use async_tungstenite::tungstenite::Message;
use event_listener::EventListener;
use futures_lite::future::{self, poll_fn, poll_once};
use futures_lite::stream::{OnceFuture, once_future};
use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use registry_api::{Caller, ErrorCode, ErrorInfo, EventMessage, Peer, parse_request};

use crate::arrival::Arrival;
use crate::config::WsConfig;
use crate::server::{Place, Shared};
use crate::session::{Output, Session};
use crate::socket::{ConnectionEnd, Socket, linger};

/// A connection that waits to be handled: run [`handle`](Self::handle) on any executor.
#[derive(Debug)]
pub struct ConnectionHandler<S> {
    shared: Arc<Shared>,
    place: Option<Place>,
    stream: S,
    peer: Peer,
    opening: Opening,
}

/// What is left to do before messages are exchanged.
#[derive(Debug)]
pub(crate) enum Opening {
    /// The request is to be read and answered.
    Handshake,
    /// An HTTP server has answered it, and read so many bytes more.
    Admitted { caller: Caller, read: Vec<u8> },
}

impl<S> ConnectionHandler<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(crate) fn new(
        shared: Arc<Shared>,
        place: Option<Place>,
        stream: S,
        peer: Peer,
        opening: Opening,
    ) -> Self {
        Self {
            shared,
            place,
            stream,
            peer,
            opening,
        }
    }

    /// The other end.
    pub fn peer(&self) -> Peer {
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
            opening,
        } = self;
        let Some(_place) = place else {
            let refusal =
                b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
            let answer = async { drop(stream.write_all(refusal).await) };
            let timeout = async {
                Timer::after(shared.config.write_timeout).await;
            };
            future::or(answer, timeout).await;
            linger(&mut stream).await;
            return Err(ConnectionEnd::TooMany);
        };
        let handshake = open(&shared, stream, opening);
        let timeout = async {
            Timer::after(shared.config.handshake_timeout).await;
            Err(ConnectionEnd::HandshakeTimeout)
        };
        let closing = async {
            shared.closing().await;
            Err(ConnectionEnd::Closing)
        };
        let given_up = future::or(timeout, closing);
        let (socket, caller) = future::or(handshake, given_up).await?;
        tracing::debug!(%peer, actor = caller.actor, "connected");
        // Leases can be bound to it: they end with the last of its callers.
        let caller = caller.over(&registry_api::Connection::new(peer));
        let mut connection = Connection::new(&shared, socket, caller);
        let ended = connection.run().await;
        connection.socket.say_goodbye(&ended).await;
        tracing::debug!(%peer, ended = ?ended, "disconnected");
        ended
    }
}

/// Answers the request that opens the connection, where it is not answered yet.
async fn open<S>(
    shared: &Shared,
    stream: S,
    opening: Opening,
) -> Result<(Socket<S>, Caller), ConnectionEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match opening {
        Opening::Handshake => Socket::accept(stream, &shared.config, || shared.api.now()).await,
        Opening::Admitted { caller, read } => {
            let socket = Socket::upgraded(stream, read, &shared.config).await;
            Ok((socket, caller))
        }
    }
}

struct Connection<'a, S> {
    shared: &'a Shared,
    config: &'a WsConfig,
    socket: Socket<S>,
    session: Session,
    rate: Option<DefaultDirectRateLimiter>,
    ping: Timer,
    /// Looked at only when it was woken: all connections listen to the one event, and would wait for its lock.
    closing: OnceFuture<EventListener>,
    closing_arrival: Arrival,
    /// The same for subscriptions, of which each looks at the feed.
    told_arrival: Arrival,
    /// Whether nothing came since the last ping.
    is_silent: bool,
    /// Whether a frame goes before an output that is ready, too: they take turns, so that neither starves the other.
    is_turn_of_frames: bool,
    /// Whether an event goes before an answer that is ready, too.
    is_turn_of_events: bool,
    /// Frames that may still be taken, where the face is closing.
    last_frames: Option<usize>,
}

/// What a connection waits for.
enum Next {
    Frame(Option<Result<Message, ConnectionEnd>>),
    Output(Output),
    Told(Result<EventMessage, (String, ErrorInfo)>),
    Ping,
    /// Everything was answered, and the face is closing.
    Closed,
    Closing,
}

impl<'a, S> Connection<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn new(shared: &'a Shared, socket: Socket<S>, caller: Caller) -> Self {
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
            closing: once_future(shared.listen_for_closing()),
            closing_arrival: Arrival::new(),
            told_arrival: Arrival::new(),
            is_silent: false,
            is_turn_of_frames: false,
            is_turn_of_events: false,
            last_frames: None,
        }
    }

    async fn run(&mut self) -> Result<(), ConnectionEnd> {
        loop {
            match self.next().await? {
                Next::Frame(None) => return Ok(()),
                Next::Frame(Some(frame)) => {
                    self.is_silent = false;
                    self.is_turn_of_frames = false;
                    if let Some(left) = &mut self.last_frames {
                        *left -= 1;
                    }
                    if !self.take(frame?).await? {
                        return Ok(());
                    }
                }
                Next::Output(output) => {
                    self.is_turn_of_frames = true;
                    self.is_turn_of_events = true;
                    self.session.finish();
                    self.answer(output).await?;
                }
                Next::Told(told) => {
                    self.is_turn_of_frames = true;
                    self.is_turn_of_events = false;
                    self.tell(told).await?;
                }
                Next::Closing => {
                    self.session.end_subscriptions();
                    self.last_frames = Some(self.config.requests_in_flight_max);
                }
                Next::Closed => return Err(ConnectionEnd::Closing),
                // What the peer sent meanwhile is not read while its requests fill their places.
                Next::Ping if self.is_silent && self.takes_frames() => {
                    return Err(ConnectionEnd::Silent);
                }
                Next::Ping => {
                    self.is_silent = true;
                    self.socket.feed(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    fn takes_frames(&self) -> bool {
        self.session.requests_in_flight() < self.config.requests_in_flight_max
            && self.last_frames != Some(0)
    }

    /// What is ready now; where nothing is, what was collected is written before waiting.
    async fn next(&mut self) -> Result<Next, ConnectionEnd> {
        if self.last_frames.is_none() && self.shared.is_closing() {
            return Ok(Next::Closing);
        }
        if let Some(next) = poll_once(self.ready()).await {
            return Ok(next);
        }
        if self.last_frames.is_some() && self.session.requests_in_flight() == 0 {
            return Ok(Next::Closed);
        }
        self.socket.flush().await?;
        Ok(self.ready().await)
    }

    async fn ready(&mut self) -> Next {
        let takes_frames = self.takes_frames();
        let Self {
            socket,
            session,
            ping,
            closing,
            closing_arrival,
            told_arrival,
            is_turn_of_frames,
            is_turn_of_events,
            last_frames,
            ..
        } = self;
        let Session {
            work,
            subscriptions,
            ..
        } = session;
        let answer = async {
            match work.next().await {
                Some(output) => Next::Output(output),
                None => future::pending().await,
            }
        };
        let event = async {
            match poll_fn(|cx| told_arrival.poll_next(subscriptions, cx)).await {
                Some(told) => Next::Told(told),
                None => future::pending().await,
            }
        };
        let output = async {
            if *is_turn_of_events {
                future::or(event, answer).await
            } else {
                future::or(answer, event).await
            }
        };
        let frame = async {
            if !takes_frames {
                future::pending::<()>().await;
            }
            Next::Frame(socket.next().await)
        };
        let tick = async {
            ping.next().await;
            Next::Ping
        };
        let closing = async {
            if last_frames.is_some() {
                future::pending::<()>().await;
            }
            poll_fn(|cx| closing_arrival.poll_next(closing, cx)).await;
            Next::Closing
        };
        let idle = future::or(closing, tick);
        if *is_turn_of_frames {
            future::or(future::or(frame, output), idle).await
        } else {
            future::or(future::or(output, frame), idle).await
        }
    }

    /// Takes a frame, and answers whether the connection goes on.
    async fn take(&mut self, message: Message) -> Result<bool, ConnectionEnd> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Ok(false),
            Message::Ping(_) => {
                // The next one is not read before the answer to this was taken, or answers would pile up.
                self.socket.flush().await?;
                return Ok(true);
            }
            Message::Binary(_) => {
                let refusal = self.session.refusal(
                    None,
                    ErrorCode::BadRequest,
                    "expected text, found binary data",
                );
                self.send(refusal.to_text()).await?;
                return Ok(true);
            }
            _ => return Ok(true),
        };
        let request = match parse_request(&text) {
            Ok(request) => request,
            Err((id, message)) => {
                let refusal = self.session.refusal(id, ErrorCode::BadRequest, message);
                self.send(refusal.to_text()).await?;
                return Ok(true);
            }
        };
        if self.rate.as_ref().is_some_and(|rate| rate.check().is_err()) {
            let message = "requests_per_second is exceeded";
            let refusal = self
                .session
                .refusal(Some(request.id), ErrorCode::RateLimited, message);
            self.send(refusal.to_text()).await?;
            return Ok(true);
        }
        if let Some(output) = self.session.request(request).await {
            self.answer(output).await?;
        }
        Ok(true)
    }

    /// Tells what a request came to.
    async fn answer(&mut self, output: Output) -> Result<(), ConnectionEnd> {
        match output {
            Output::Response(response) => self.send(response.to_text()).await,
            Output::NotSubscribed(response, name) => {
                self.session.forget(&name);
                self.send(response.to_text()).await
            }
            Output::Subscribed(response, subscription) => {
                self.send(response.to_text()).await?;
                self.session.follow(subscription);
                self.told_arrival.mark();
                Ok(())
            }
        }
    }

    /// Tells an event, or why a subscription ended.
    async fn tell(
        &mut self,
        told: Result<EventMessage, (String, ErrorInfo)>,
    ) -> Result<(), ConnectionEnd> {
        match told {
            Ok(message) => self.send(message.to_text()).await,
            Err((subscription, error)) => {
                tracing::warn!(subscription, error = error.message, "a subscription failed");
                let refusal = self.session.refusal(None, error.code, error.message);
                self.send(refusal.to_text()).await
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), ConnectionEnd> {
        self.socket.feed(Message::text(text)).await
    }
}
