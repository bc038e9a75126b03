//! How fast one token or one peer may ask.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use registry_api::{Caller, Peer};

use crate::config::HttpConfig;

/// Requests between two looks at how many keys are remembered.
const LOOK_INTERVAL_REQUESTS: u64 = 1024;

/// Who shares a rate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Token(String),
    Host(IpAddr),
    User(u32),
}

/// Rates of everybody who asks.
#[derive(Debug)]
pub(crate) struct Rates {
    limiter: DefaultKeyedRateLimiter<Key>,
    keys_max: usize,
    is_loopback_limited: bool,
    requests: AtomicU64,
}

impl Rates {
    /// None where there is no limit.
    pub(crate) fn new(config: &HttpConfig) -> Option<Self> {
        Some(Self {
            limiter: RateLimiter::keyed(Quota::per_second(config.requests_per_second?)),
            keys_max: config.rate_keys_max,
            is_loopback_limited: config.is_loopback_limited,
            requests: AtomicU64::new(0),
        })
    }

    /// Whether one more request may be answered now.
    pub(crate) fn allows(&self, peer: Peer, token: Option<&Caller>) -> bool {
        if peer.is_local() && !self.is_loopback_limited {
            return true;
        }
        let requests = self.requests.fetch_add(1, Ordering::Relaxed);
        if requests.is_multiple_of(LOOK_INTERVAL_REQUESTS) && self.limiter.len() > self.keys_max {
            self.limiter.retain_recent();
        }
        let key = match (token, peer) {
            (Some(caller), _) => Key::Token(caller.actor.clone()),
            (None, Peer::Tcp(addr)) => Key::Host(network(addr.ip().to_canonical())),
            (None, Peer::Unix { uid, .. }) => Key::User(uid),
        };
        self.limiter.check_key(&key).is_ok()
    }
}

/// One host owns at least 64 bits of an IPv6 address.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
