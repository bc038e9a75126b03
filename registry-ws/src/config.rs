//! The bounds of the WebSocket face.

use std::num::NonZeroU32;
use std::time::Duration;

use registry_api::Authenticator;

/// Bounds of the WebSocket face, each with its unit.
#[derive(Debug, Clone)]
pub struct WsConfig {
    /// Who may connect.
    pub authenticator: Authenticator,
    /// Origins that a browser may connect from, such as `https://board.example.net`. That of the daemon itself always
    /// may; programs that are no browser send none.
    pub origins: Vec<String>,
    /// Connections at a time; one more is answered 503.
    pub connections_max: usize,
    /// Largest frame, in bytes.
    pub frame_bytes_max: usize,
    /// Largest message, in bytes.
    pub message_bytes_max: usize,
    /// Requests a second on one connection; none is unlimited.
    pub requests_per_second: Option<NonZeroU32>,
    /// Requests of one connection that may wait for their answers; more are not read meanwhile.
    pub requests_in_flight_max: usize,
    /// Subscriptions of one connection.
    pub subscriptions_max: usize,
    /// Bytes that may wait for a slow reader; more is not produced meanwhile. One message may be larger.
    pub queued_bytes_max: usize,
    /// Time for the request that opens the connection.
    pub handshake_timeout: Duration,
    /// Time between pings; a peer that was silent since the last one is cut off.
    pub ping_interval: Duration,
    /// Time for a peer to take what waits for it.
    pub write_timeout: Duration,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self {
            authenticator: Authenticator::default(),
            origins: Vec::new(),
            connections_max: 10_000,
            frame_bytes_max: 1024 * 1024,
            message_bytes_max: 1024 * 1024,
            requests_per_second: None,
            requests_in_flight_max: 256,
            subscriptions_max: 64,
            queued_bytes_max: 4 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
        }
    }
}
