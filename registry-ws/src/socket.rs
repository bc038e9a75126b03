//! Frames in and out, within the limits: what is the same whatever the messages say.

use std::future::poll_fn;
use std::time::Duration;

use async_io::Timer;
use async_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use async_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, future};
use futures_util::SinkExt as _;
use registry_api::Caller;
use registry_core::Timestamp;

use crate::arrival::Arrival;
use crate::config::WsConfig;
use crate::handshake;

/// Bytes that are collected before they are written.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes that are read at a time.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// Time for a peer that was told the end to hear it.
const LINGER: Duration = Duration::from_secs(1);

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

/// The server's end of a WebSocket.
#[derive(Debug)]
pub struct Socket<S> {
    stream: WebSocketStream<S>,
    arrival: Arrival,
    write_timeout: Duration,
}

impl<S> Socket<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Reads and answers the request that opens a WebSocket, and answers who asks.
    ///
    /// # Errors
    /// [`ConnectionEnd::Failed`], also where the request is turned away, which the peer was told then.
    pub async fn accept(
        stream: S,
        config: &WsConfig,
        now: impl FnOnce() -> Timestamp + Unpin,
    ) -> Result<(Self, Caller), ConnectionEnd> {
        let mut caller = None;
        let admit = |head: handshake::RequestHead<'_>| {
            caller = Some(head.admit(config, now())?);
            Ok(())
        };
        #[expect(clippy::result_large_err, reason = "the type is the library's")]
        let callback = |request: &_, response| handshake::answer(request, response, admit);
        let protocol = Some(protocol_config(config));
        let stream = accept_hdr_async_with_config(stream, callback, protocol).await?;
        let caller = caller.expect("a handshake that succeeded has admitted somebody");
        Ok((Self::new(stream, config), caller))
    }

    /// The WebSocket on a stream on which an HTTP server has opened it, having read so many bytes more.
    pub(crate) async fn upgraded(stream: S, read: Vec<u8>, config: &WsConfig) -> Self {
        let protocol = Some(protocol_config(config));
        let stream =
            WebSocketStream::from_partially_read(stream, read, Role::Server, protocol).await;
        Self::new(stream, config)
    }

    fn new(stream: WebSocketStream<S>, config: &WsConfig) -> Self {
        Self {
            stream,
            arrival: Arrival::new(),
            write_timeout: config.write_timeout,
        }
    }

    /// The next message or control frame; none at the end. Dropping the future loses nothing.
    ///
    /// A ping is answered with the next [`flush`](Self::flush): who reads on before that lets answers pile up.
    ///
    /// # Errors
    /// [`ConnectionEnd::Failed`] where the protocol is violated or a limit exceeded.
    pub async fn next(&mut self) -> Option<Result<Message, ConnectionEnd>> {
        let Self {
            stream, arrival, ..
        } = self;
        let message = poll_fn(|cx| arrival.poll_next(stream, cx)).await?;
        Some(message.map_err(ConnectionEnd::from))
    }

    /// Takes a message to be sent, at the latest with the next [`flush`](Self::flush). Waits while much is to be
    /// written before it.
    ///
    /// # Errors
    /// [`ConnectionEnd::Stalled`] where the peer takes nothing, [`ConnectionEnd::Failed`].
    pub async fn feed(&mut self, message: Message) -> Result<(), ConnectionEnd> {
        let Self {
            stream,
            write_timeout,
            ..
        } = self;
        let written = async { Ok(stream.feed(message).await?) };
        future::or(written, stalled(*write_timeout)).await
    }

    /// Sends what was taken.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub async fn flush(&mut self) -> Result<(), ConnectionEnd> {
        let Self {
            stream,
            write_timeout,
            ..
        } = self;
        let written = async { Ok(futures_util::SinkExt::flush(stream).await?) };
        future::or(written, stalled(*write_timeout)).await
    }

    /// Tells the peer why this is the end, where it can still be told. A peer that closed is answered with its own code.
    pub async fn say_goodbye(&mut self, ended: &Result<(), ConnectionEnd>) {
        let told = match ended.as_ref().map_err(goodbye) {
            Ok(()) => self.answer_close().await,
            Err(Some((code, reason))) => {
                let reason = reason.into();
                self.close(CloseFrame { code, reason }).await
            }
            Err(None) => return,
        };
        if told.is_ok() {
            linger(self.stream.get_mut()).await;
        }
    }

    /// Sends the answer to a close frame, which the library keeps ready and, once it is sent, calls an error.
    async fn answer_close(&mut self) -> Result<(), ConnectionEnd> {
        match self.flush().await {
            Err(ConnectionEnd::Failed(WsError::ConnectionClosed)) => Ok(()),
            flushed => flushed,
        }
    }

    async fn close(&mut self, frame: CloseFrame) -> Result<(), ConnectionEnd> {
        let Self {
            stream,
            write_timeout,
            ..
        } = self;
        let close = async {
            // A peer that is gone needs to hear nothing.
            drop(stream.close(Some(frame)).await);
            Ok(())
        };
        future::or(close, stalled(*write_timeout)).await
    }
}

fn protocol_config(config: &WsConfig) -> WebSocketConfig {
    let mut protocol = WebSocketConfig::default();
    protocol.read_buffer_size = READ_BUFFER_BYTES;
    protocol.write_buffer_size = WRITE_BUFFER_BYTES.min(config.queued_bytes_max);
    // A message waits until everything before it was taken by the system, so that there is never more in the buffer
    // than it holds by itself and one message. A limit here would end the connection on a large answer.
    protocol.max_write_buffer_size = usize::MAX;
    protocol.max_message_size = Some(config.message_bytes_max);
    protocol.max_frame_size = Some(config.frame_bytes_max);
    protocol
}

/// Code and reason of the close frame; none where nothing can be told.
fn goodbye(end: &ConnectionEnd) -> Option<(CloseCode, &'static str)> {
    let told = match end {
        ConnectionEnd::Closing => (CloseCode::Away, "the daemon is about to end"),
        ConnectionEnd::Silent => (CloseCode::Policy, "no answer to a ping"),
        ConnectionEnd::Failed(WsError::Capacity(CapacityError::MessageTooLong { .. })) => (
            CloseCode::Size,
            "the message is larger than message_bytes_max",
        ),
        ConnectionEnd::Failed(WsError::Utf8(_)) => (CloseCode::Invalid, "the text is not UTF-8"),
        ConnectionEnd::Failed(WsError::Protocol(_)) => {
            (CloseCode::Protocol, "the protocol was violated")
        }
        _ => return None,
    };
    Some(told)
}

/// Takes what the peer still sends until it hears that this is the end: a stream that is dropped with something unread
/// is reset, and the peer would not hear why.
pub(crate) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let heard = async {
        // Nothing more can be told where this fails.
        drop(stream.close().await);
        let mut ignored = [0; 4096];
        while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    };
    let timeout = async {
        Timer::after(LINGER).await;
    };
    future::or(heard, timeout).await;
}

async fn stalled(write_timeout: Duration) -> Result<(), ConnectionEnd> {
    Timer::after(write_timeout).await;
    Err(ConnectionEnd::Stalled)
}
