//! The bounds of the HTTP face.

use std::num::NonZeroU32;
use std::time::Duration;

/// Bounds of the HTTP face, each with its unit. Who may connect, from which origins, and how many connections there
/// may be is the WebSocket face's to say: both share it.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Largest head of a request, in bytes; at least 8192.
    pub header_bytes_max: usize,
    /// Time for the head of a request, and for a connection to lie idle.
    pub header_timeout: Duration,
    /// Time for the body of a request.
    pub body_timeout: Duration,
    /// Time for a peer to take something of what waits for it.
    pub write_timeout: Duration,
    /// Requests under way at a time, those of `/v1/watch` aside; one more is answered 503.
    pub requests_in_flight_max: usize,
    /// Requests a second of one token, or of one peer where no token is required; one more is answered 429.
    pub requests_per_second: Option<NonZeroU32>,
    /// Whether peers on this machine have that limit, too.
    pub is_loopback_limited: bool,
    /// Tokens and peers whose rate is remembered; the quietest are forgotten first.
    pub rate_keys_max: usize,
    /// Watches at a time, of server-sent events and long polls together; one more is answered 503.
    pub watches_max: usize,
    /// Longest time that a long poll may wait.
    pub wait_max: Duration,
    /// Time between two signs of life on a stream of events.
    pub keep_alive_interval: Duration,
    /// Whether `/metrics` needs a token where the registry does.
    pub is_metrics_guarded: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            header_bytes_max: 64 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            requests_in_flight_max: 1024,
            requests_per_second: NonZeroU32::new(1000),
            is_loopback_limited: false,
            rate_keys_max: 10_000,
            watches_max: 4096,
            wait_max: Duration::from_secs(60),
            keep_alive_interval: Duration::from_secs(15),
            is_metrics_guarded: false,
        }
    }
}
