//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use registry_api::{Connection, ErrorCode, Peer};
use registry_ws::{Admission, Place};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::answer::refusal;
use crate::server::{HttpServer, Shared};
use crate::stalling::Stalling;
use crate::tls::Tls;

/// Time for a peer that was told the end to hear it.
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// There were as many connections as allowed.
    #[error("connections_max is reached")]
    TooMany,
    /// The head of a request took too long.
    #[error("the head of a request took longer than header_timeout")]
    HeaderTimeout,
    /// TLS could not be agreed on.
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    /// The protocol was violated, or the stream failed.
    #[error("{0}")]
    Failed(#[from] hyper::Error),
    /// It ended as a WebSocket.
    #[error("{0}")]
    WebSocket(#[from] registry_ws::ConnectionEnd),
}

/// What the requests of one connection share.
#[derive(Debug)]
pub(crate) struct Link {
    /// The other end, with its credentials where it is a process on this machine. Leases can be bound to it.
    pub(crate) connection: Arc<Connection>,
    admission: Mutex<Option<Admission>>,
}

impl Link {
    /// Has the connection go on as a WebSocket once the answer is sent.
    pub(crate) fn upgrade_with(&self, admission: Admission) {
        *self.admission() = Some(admission);
    }

    fn admission(&self) -> std::sync::MutexGuard<'_, Option<Admission>> {
        self.admission
            .lock()
            .expect("nothing panics while it holds the admission")
    }
}

/// Handles a connection.
pub(crate) async fn handle<S>(
    server: &HttpServer,
    stream: S,
    peer: Peer,
) -> Result<(), ConnectionEnd>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = server.shared();
    let mut stream = Stalling::new(stream, shared.config.write_timeout);
    if let Some(place) = server.place() {
        return serve(server, place, stream, peer).await;
    }
    let error = shared.error(ErrorCode::Overloaded, "connections_max is reached");
    say(&mut stream, "503 Service Unavailable", refusal(&error)).await;
    linger(&mut stream).await;
    Err(ConnectionEnd::TooMany)
}

/// Handles a connection that begins with TLS.
pub(crate) async fn handle_tls<S>(
    server: &HttpServer,
    tls: &Tls,
    stream: S,
    peer: Peer,
) -> Result<(), ConnectionEnd>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = server.shared();
    // What could be said to it would have to be said in TLS.
    let place = server.place().ok_or(ConnectionEnd::TooMany)?;
    let handshake = Box::pin(tls.accept(stream));
    let accepted = tokio::time::timeout(shared.config.header_timeout, handshake).await;
    let stream = accepted
        .map_err(|_| ConnectionEnd::HeaderTimeout)?
        .map_err(ConnectionEnd::Tls)?;
    let stream = Stalling::new(stream, shared.config.write_timeout);
    // The state of TLS is large, and there is no need to have it in the caller's future.
    Box::pin(serve(server, place, stream, peer)).await
}

async fn serve<S>(
    server: &HttpServer,
    place: Place,
    stream: Stalling<S>,
    peer: Peer,
) -> Result<(), ConnectionEnd>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = server.shared();
    let waiting = stream.waiting();
    let link = Arc::new(Link {
        connection: Connection::new(peer),
        admission: Mutex::default(),
    });
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let (server, link) = (server.clone(), Arc::clone(&link));
        let request = request.map(axum::body::Body::new);
        Box::pin(async move { Ok::<_, Infallible>(server.respond(request, link).await) })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.header_timeout)
        .max_buf_size(shared.config.header_bytes_max)
        .serve_connection(TokioIo::new(stream), service);
    // hyper says that it is done with bytes of an answer left to write, where it gave up on the body of the request.
    let ended = |connection: &mut http1::Connection<_, _>, cx: &mut Context<'_>| {
        let ended = ready!(connection.poll_without_shutdown(cx));
        if ended.is_ok() && waiting.is_waiting() {
            return Poll::Pending;
        }
        Poll::Ready(ended)
    };
    let mut is_told = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| ended(&mut connection, cx)) => break ended,
            () = shared.closing(), if !is_told => {
                is_told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let read = parts.read_buf.to_vec();
    let mut stream = parts.io.into_inner();
    let admission = link.admission().take();
    match (ended, admission) {
        (Ok(()), Some(admission)) => {
            let _counted = shared.count_websocket();
            let handler = shared
                .ws
                .upgraded(stream.compat(), read, peer, place, admission);
            Ok(handler.handle().await?)
        }
        (ended, _) => {
            let ended = explain(shared, &mut stream, ended, &read).await;
            linger(&mut stream).await;
            ended
        }
    }
}

/// Tells the peer of a time-out, where it has asked something.
async fn explain<S>(
    shared: &Shared,
    stream: &mut S,
    ended: hyper::Result<()>,
    read: &[u8],
) -> Result<(), ConnectionEnd>
where
    S: AsyncWrite + Unpin,
{
    let Err(error) = ended else {
        return Ok(());
    };
    if !error.is_timeout() {
        return Err(error.into());
    }
    // A connection that lies idle has asked nothing, so it is told nothing.
    if !read.is_empty() {
        let message = "the head of the request took longer than header_timeout";
        let error = shared.error(ErrorCode::RequestTimeout, message);
        say(stream, "408 Request Timeout", refusal(&error)).await;
    }
    Err(ConnectionEnd::HeaderTimeout)
}

/// Answers a connection whose request was never read.
async fn say<S>(stream: &mut S, status: &str, response: axum::response::Response)
where
    S: AsyncWrite + Unpin,
{
    let (head, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return;
    };
    let mut text = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        write!(text, "{name}: {value}\r\n").expect("a String takes everything");
    }
    write!(text, "content-length: {}\r\n\r\n", body.len()).expect("a String takes everything");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&body);
    // Nothing more can be told where this fails.
    drop(stream.write_all(&bytes).await);
}

/// Takes what the peer still sends until it hears that this is the end: a stream that is dropped with something unread
/// is reset, and the peer would not hear why.
async fn linger<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let heard = async {
        // Nothing more can be told where this fails.
        drop(stream.shutdown().await);
        let mut ignored = [0; 4096];
        while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    };
    drop(tokio::time::timeout(LINGER, heard).await);
}
