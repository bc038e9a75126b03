//! Accepts connections, and yields a handler for each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_net::{AsyncToSocketAddrs, TcpListener, TcpStream};
use event_listener::{Event, EventListener, listener};
use futures_lite::{AsyncRead, AsyncWrite};
use registry_api::{Api, Peer};

use crate::config::WsConfig;
use crate::connection::{ConnectionHandler, Opening};
use crate::handshake::{Admission, RequestHead, Turned};

/// The WebSocket face of one registry. A clone is cheap.
#[derive(Debug, Clone)]
pub struct WsServer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) config: WsConfig,
    connections: AtomicUsize,
    is_closing: AtomicBool,
    closing: Event,
}

impl Shared {
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    /// Wakes once the face is closed, if it was not before.
    pub(crate) fn listen_for_closing(&self) -> EventListener {
        self.closing.listen()
    }

    /// Waits until the face is closed.
    pub(crate) async fn closing(&self) {
        loop {
            listener!(self.closing => closing);
            if self.is_closing() {
                return;
            }
            closing.await;
        }
    }
}

/// A place among the connections, free again when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

impl WsServer {
    /// The face of the registry behind `api`.
    pub fn new(api: impl Into<Api>, config: WsConfig) -> Self {
        let api = api.into();
        Self {
            shared: Arc::new(Shared {
                api,
                config,
                connections: AtomicUsize::new(0),
                is_closing: AtomicBool::new(false),
                closing: Event::new(),
            }),
        }
    }

    /// The command layer.
    pub fn api(&self) -> &Api {
        &self.shared.api
    }

    /// The bounds.
    pub fn config(&self) -> &WsConfig {
        &self.shared.config
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Ends every connection with the close code 1001, after what it asked until then was answered: what has arrived,
    /// at most [`requests_in_flight_max`](WsConfig::requests_in_flight_max) requests.
    pub fn begin_close(&self) {
        self.shared.is_closing.store(true, Ordering::SeqCst);
        self.shared.closing.notify(usize::MAX);
    }

    /// A handler for a stream that was accepted elsewhere, before any byte of it was read.
    pub fn accept<S>(&self, stream: S, peer: impl Into<Peer>) -> ConnectionHandler<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (shared, place) = (Arc::clone(&self.shared), self.place());
        ConnectionHandler::new(shared, place, stream, peer.into(), Opening::Handshake)
    }

    /// Decides on a request that an HTTP server read: who it is and what to answer, status 101.
    ///
    /// # Errors
    /// [`Turned`], also for a request that is no proper opening of a WebSocket.
    pub fn admit(&self, head: RequestHead<'_>) -> Result<Admission, Turned> {
        head.open(&self.shared.config, self.shared.api.now())
    }

    /// A handler for a stream on which an HTTP server has sent the answer of an [`Admission`]. `read` are the bytes that
    /// it read beyond the request.
    pub fn upgraded<S>(
        &self,
        stream: S,
        read: Vec<u8>,
        peer: impl Into<Peer>,
        place: Place,
        admission: Admission,
    ) -> ConnectionHandler<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opening = Opening::Admitted {
            caller: admission.caller,
            read,
        };
        let shared = Arc::clone(&self.shared);
        ConnectionHandler::new(shared, Some(place), stream, peer.into(), opening)
    }

    /// A place among the connections, for an HTTP server that shares its port; none where all are taken.
    pub fn place(&self) -> Option<Place> {
        let before = self.shared.connections.fetch_add(1, Ordering::SeqCst);
        let place = Place(Arc::clone(&self.shared));
        (before < self.shared.config.connections_max).then_some(place)
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// The system's refusal.
    pub async fn listen(&self, addr: impl AsyncToSocketAddrs) -> io::Result<WsListener> {
        Ok(WsListener {
            server: self.clone(),
            listener: TcpListener::bind(addr).await?,
        })
    }

    /// Listens on an address and hands every connection to `spawn`, for ever.
    ///
    /// # Errors
    /// The system's refusal to listen.
    pub async fn serve(
        &self,
        addr: impl AsyncToSocketAddrs,
        mut spawn: impl FnMut(ConnectionHandler<TcpStream>),
    ) -> io::Result<()> {
        let listener = self.listen(addr).await?;
        loop {
            spawn(listener.next().await);
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct WsListener {
    server: WsServer,
    listener: TcpListener,
}

impl WsListener {
    /// The address that is listened on.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection. The caller runs its handler; nothing is spawned here.
    pub async fn next(&self) -> ConnectionHandler<TcpStream> {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Answers are small and wanted at once; a system that refuses is only slower.
                    drop(stream.set_nodelay(true));
                    return self.server.accept(stream, peer);
                }
                Err(error) => {
                    // Such as too many open files: they become fewer again.
                    tracing::warn!(%error, "a connection could not be accepted");
                    async_io::Timer::after(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }
}
