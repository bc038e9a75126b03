//! The settings of the daemon, and what makes sense of them.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use registry_api::{Access, Authenticator, Token};
use registry_core::engine::{EngineConfig, LeaseConfig, LeasePolicy};
use registry_core::model::UnknownHeartbeat;
use registry_core::{Durability, Span};
use registry_http::{BindAddress, HttpConfig, Tls};
use registry_ws::WsConfig;
use serde::{Deserialize, Serialize};

use crate::backends::Backend;

/// The port that is taken where none is named.
const DEFAULT_BIND: &str = "127.0.0.1:9402";

/// A setting or an argument that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

type Result<T, E = Usage> = std::result::Result<T, E>;

/// Every setting of the daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the backend; empty where the path says it, or the default of the build.
    pub registry_backend: String,
    /// Path of the store; empty is the default path.
    pub registry_path: PathBuf,
    /// One address, several with commas between them, or a list.
    #[serde(deserialize_with = "one_or_several")]
    pub bind: Vec<String>,
    /// Empty is no TLS.
    tls_cert: PathBuf,
    tls_key: PathBuf,
    tls_reload_interval: String,
    durability: String,
    cache_mib: usize,
    pub log_level: String,
    /// A token with write access, beside those of the file.
    token: String,
    tokens: Vec<TokenSetting>,
    origins: Vec<String>,
    connections_max: usize,
    frame_bytes_max: usize,
    message_bytes_max: usize,
    /// 0 is unlimited.
    requests_per_second: u32,
    requests_in_flight_max: usize,
    subscriptions_max: usize,
    queued_bytes_max: usize,
    handshake_timeout: String,
    ping_interval: String,
    write_timeout: String,
    http_body_bytes_max: usize,
    http_header_bytes_max: usize,
    http_header_timeout: String,
    http_body_timeout: String,
    http_requests_in_flight_max: usize,
    /// 0 is unlimited.
    http_requests_per_second: u32,
    http_rate_keys_max: usize,
    http_limit_loopback: bool,
    http_watches_max: usize,
    http_wait_max: String,
    http_keep_alive_interval: String,
    http_guard_metrics: bool,
    queue_commands_max: usize,
    log_age_max: String,
    log_commits_max: u64,
    lease_unknown_heartbeat: String,
    lease_protection_percent: u8,
    lease_protection_window: String,
    lease_protection_hold: String,
    lease_remove_expired_after: String,
    /// Empty is never.
    lease_remove_critical_after: String,
    lease_forget_stopped_after: String,
    lease_last_seen_interval: String,
    lease_keeper_ttl: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSetting {
    name: String,
    secret: String,
    /// `read` or `write`.
    access: String,
}

impl Default for Settings {
    fn default() -> Self {
        let (ws, engine) = (WsConfig::default(), EngineConfig::default());
        let http = HttpConfig::default();
        Self {
            registry_backend: String::new(),
            registry_path: PathBuf::new(),
            bind: vec![DEFAULT_BIND.to_owned()],
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            tls_reload_interval: "10s".to_owned(),
            durability: "synced".to_owned(),
            cache_mib: 64,
            log_level: "info".to_owned(),
            token: String::new(),
            tokens: Vec::new(),
            origins: Vec::new(),
            connections_max: ws.connections_max,
            frame_bytes_max: ws.frame_bytes_max,
            message_bytes_max: ws.message_bytes_max,
            requests_per_second: 0,
            requests_in_flight_max: ws.requests_in_flight_max,
            subscriptions_max: ws.subscriptions_max,
            queued_bytes_max: ws.queued_bytes_max,
            handshake_timeout: "10s".to_owned(),
            ping_interval: "20s".to_owned(),
            write_timeout: "30s".to_owned(),
            http_body_bytes_max: http.body_bytes_max,
            http_header_bytes_max: http.header_bytes_max,
            http_header_timeout: "10s".to_owned(),
            http_body_timeout: "30s".to_owned(),
            http_requests_in_flight_max: http.requests_in_flight_max,
            http_requests_per_second: http.requests_per_second.map_or(0, NonZeroU32::get),
            http_rate_keys_max: http.rate_keys_max,
            http_limit_loopback: http.is_loopback_limited,
            http_watches_max: http.watches_max,
            http_wait_max: "60s".to_owned(),
            http_keep_alive_interval: "15s".to_owned(),
            http_guard_metrics: http.is_metrics_guarded,
            queue_commands_max: engine.queue_commands_max,
            log_age_max: "90d".to_owned(),
            log_commits_max: engine.log_commits_max,
            lease_unknown_heartbeat: "refuse".to_owned(),
            lease_protection_percent: engine.leases.policy.protection_percent,
            lease_protection_window: engine.leases.policy.protection_window.to_string(),
            lease_protection_hold: engine.leases.policy.protection_hold.to_string(),
            lease_remove_expired_after: engine.leases.policy.remove_expired_after.to_string(),
            lease_remove_critical_after: String::new(),
            lease_forget_stopped_after: engine.leases.policy.forget_stopped_after.to_string(),
            lease_last_seen_interval: "60s".to_owned(),
            lease_keeper_ttl: "5s".to_owned(),
        }
    }
}

/// Reads a list, or a text with commas between its parts, as the environment has it.
fn one_or_several<'de, D>(deserializer: D) -> Result<Vec<String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    struct List;

    impl<'de> serde::de::Visitor<'de> for List {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.split(',').map(|part| part.trim().to_owned()).collect())
        }

        fn visit_seq<A>(self, mut parts: A) -> Result<Self::Value, A::Error>
        where
            A: serde::de::SeqAccess<'de>,
        {
            let mut list = Vec::new();
            while let Some(part) = parts.next_element()? {
                list.push(part);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_any(List)
}

fn explain(error: &figment::Error) -> String {
    let origin = error
        .metadata
        .as_ref()
        .map(|metadata| metadata.name.to_string())
        .unwrap_or_default();
    format!(
        "configuration: {}: {} ({origin})",
        error.path.join("."),
        error.kind
    )
}

/// A setting that makes no sense, told by key, value and what is allowed.
fn bad(key: &str, value: &dyn std::fmt::Display, allowed: &str) -> Usage {
    Usage(format!(
        "{key}: expected {allowed}, found {value:?}",
        value = value.to_string()
    ))
}

fn span(key: &str, text: &str) -> Result<Span> {
    text.parse()
        .map_err(|_| bad(key, &text, "a duration such as 500ms, 30s, 5m, 2h or 90d"))
}

/// A span that is longer than nothing.
fn duration(key: &str, text: &str) -> Result<Duration> {
    let span = span(key, text)?;
    if span == Span::default() {
        return Err(bad(key, &text, "a duration longer than 0s"));
    }
    Ok(span.into())
}

impl Settings {
    /// Reads the text of a configuration file, over the defaults.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn of_file(text: &str) -> Result<Self> {
        Self::of_layers(&Self::defaults().merge(Toml::string(text)))
    }

    /// The lowest layer.
    pub fn defaults() -> Figment {
        Figment::from(Serialized::defaults(Self::default()))
    }

    /// What layers on the [defaults](Self::defaults) come to.
    ///
    /// # Errors
    /// The key, what is wrong with it, and the layer.
    pub fn of_layers(layers: &Figment) -> Result<Self> {
        layers.extract().map_err(|error| Usage(explain(&error)))
    }

    /// Checks every setting, so that nothing is begun with one that makes no sense.
    ///
    /// # Errors
    /// [`Usage`] with key, value and what is allowed.
    pub fn check(&self) -> Result<()> {
        self.backend()?;
        self.bind()?;
        self.durability()?;
        self.tls_files()?;
        self.tls_reload_interval()?;
        self.ws()?;
        self.http()?;
        self.engine()?;
        Ok(())
    }

    /// The backend that was named.
    pub fn backend(&self) -> Result<Option<Backend>> {
        if self.registry_backend.is_empty() {
            return Ok(None);
        }
        let backend = Backend::from_str(&self.registry_backend)
            .map_err(|error| Usage(format!("registry_backend: {error}")))?;
        if backend.is_built_in() {
            return Ok(Some(backend));
        }
        Err(bad("registry_backend", &backend, "a backend of this build"))
    }

    /// Where to listen.
    pub fn bind(&self) -> Result<Vec<BindAddress>> {
        if self.bind.is_empty() {
            return Err(bad("bind", &"", "at least one address"));
        }
        let addresses = self.bind.iter().map(|text| {
            let address = text.parse::<BindAddress>();
            address.map_err(|problem| Usage(format!("bind: {problem}")))
        });
        addresses.collect()
    }

    /// Certificate and key, where there is TLS.
    fn tls_files(&self) -> Result<Option<(&Path, &Path)>> {
        let is_given = |path: &Path| !path.as_os_str().is_empty();
        match (is_given(&self.tls_cert), is_given(&self.tls_key)) {
            (false, false) => Ok(None),
            (true, true) => Ok(Some((&self.tls_cert, &self.tls_key))),
            (true, false) => Err(bad("tls_key", &"", "a file, as there is tls_cert")),
            (false, true) => Err(bad("tls_cert", &"", "a file, as there is tls_key")),
        }
    }

    /// Whether the addresses of TCP speak TLS.
    pub fn has_tls(&self) -> bool {
        matches!(self.tls_files(), Ok(Some(_)))
    }

    /// TLS as the files say.
    pub fn tls(&self) -> Result<Option<Tls>> {
        let Some((certificate, key)) = self.tls_files()? else {
            return Ok(None);
        };
        let tls = Tls::load(certificate, key);
        tls.map(Some)
            .map_err(|problem| Usage(format!("tls: {problem}")))
    }

    /// Time between two looks at the certificate's files.
    pub fn tls_reload_interval(&self) -> Result<Duration> {
        duration("tls_reload_interval", &self.tls_reload_interval)
    }

    /// When a commit is safe.
    pub fn durability(&self) -> Result<Durability> {
        match self.durability.split_once(':') {
            None if self.durability == "synced" => Ok(Durability::Synced),
            None if self.durability == "interval" => {
                Ok(Durability::Interval(Duration::from_secs(1)))
            }
            Some(("interval", span)) => Ok(Durability::Interval(duration("durability", span)?)),
            _ => Err(bad(
                "durability",
                &self.durability,
                "synced, interval or interval:500ms",
            )),
        }
    }

    /// Room for the store's own cache, in bytes.
    pub fn cache_bytes(&self) -> Result<usize> {
        let bytes = self
            .cache_mib
            .checked_mul(1024 * 1024)
            .filter(|_| (1..=1024 * 1024).contains(&self.cache_mib));
        bytes.ok_or_else(|| bad("cache_mib", &self.cache_mib, "1 to 1048576"))
    }

    /// The bounds of the engine.
    pub fn engine(&self) -> Result<EngineConfig> {
        // The queue has its room from the beginning.
        if !(1..=1_000_000).contains(&self.queue_commands_max) {
            let count = &self.queue_commands_max;
            return Err(bad("queue_commands_max", count, "1 to 1000000"));
        }
        Ok(EngineConfig {
            queue_commands_max: self.queue_commands_max,
            log_age_max: duration("log_age_max", &self.log_age_max)?,
            log_commits_max: self.log_commits_max,
            leases: self.leases()?,
            ..EngineConfig::default()
        })
    }

    /// The rules for leases where a service has none of its own.
    fn leases(&self) -> Result<LeaseConfig> {
        let unknown_heartbeat = match self.lease_unknown_heartbeat.as_str() {
            "refuse" => UnknownHeartbeat::Refuse,
            "pending" => UnknownHeartbeat::Pending,
            "active" => UnknownHeartbeat::Active,
            other => {
                return Err(bad(
                    "lease_unknown_heartbeat",
                    &other,
                    "refuse, pending or active",
                ));
            }
        };
        if !(1..=100).contains(&self.lease_protection_percent) {
            let percent = &self.lease_protection_percent;
            return Err(bad("lease_protection_percent", percent, "1 to 100"));
        }
        let removed = &self.lease_remove_critical_after;
        let remove_critical_after = match removed.as_str() {
            "" => None,
            text => Some(span("lease_remove_critical_after", text)?),
        };
        let policy = LeasePolicy {
            unknown_heartbeat,
            protection_percent: self.lease_protection_percent,
            protection_window: span("lease_protection_window", &self.lease_protection_window)?,
            protection_hold: span("lease_protection_hold", &self.lease_protection_hold)?,
            remove_expired_after: span(
                "lease_remove_expired_after",
                &self.lease_remove_expired_after,
            )?,
            remove_critical_after,
            forget_stopped_after: span(
                "lease_forget_stopped_after",
                &self.lease_forget_stopped_after,
            )?,
        };
        Ok(LeaseConfig {
            policy,
            last_seen_interval: duration(
                "lease_last_seen_interval",
                &self.lease_last_seen_interval,
            )?,
            keeper_ttl: duration("lease_keeper_ttl", &self.lease_keeper_ttl)?,
        })
    }

    /// The bounds of the WebSocket face.
    pub fn ws(&self) -> Result<WsConfig> {
        let counts = [
            ("connections_max", self.connections_max),
            ("requests_in_flight_max", self.requests_in_flight_max),
            ("subscriptions_max", self.subscriptions_max),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(bad(key, &0, "at least 1"));
        }
        let sizes = [
            ("frame_bytes_max", self.frame_bytes_max),
            ("message_bytes_max", self.message_bytes_max),
            ("queued_bytes_max", self.queued_bytes_max),
        ];
        if let Some((key, size)) = sizes
            .into_iter()
            .find(|(_, size)| !(1024..=256 * 1024 * 1024).contains(size))
        {
            return Err(bad(key, &size, "1024 to 268435456 bytes"));
        }
        Ok(WsConfig {
            authenticator: Authenticator::new(self.tokens()?),
            origins: self.origins.clone(),
            connections_max: self.connections_max,
            frame_bytes_max: self.frame_bytes_max,
            message_bytes_max: self.message_bytes_max,
            requests_per_second: NonZeroU32::new(self.requests_per_second),
            requests_in_flight_max: self.requests_in_flight_max,
            subscriptions_max: self.subscriptions_max,
            queued_bytes_max: self.queued_bytes_max,
            handshake_timeout: duration("handshake_timeout", &self.handshake_timeout)?,
            ping_interval: duration("ping_interval", &self.ping_interval)?,
            write_timeout: duration("write_timeout", &self.write_timeout)?,
        })
    }

    /// The bounds of the HTTP face.
    pub fn http(&self) -> Result<HttpConfig> {
        let counts = [
            (
                "http_requests_in_flight_max",
                self.http_requests_in_flight_max,
            ),
            ("http_rate_keys_max", self.http_rate_keys_max),
            ("http_watches_max", self.http_watches_max),
        ];
        if let Some((key, count)) = counts
            .into_iter()
            .find(|(_, count)| !(1..=1_000_000).contains(count))
        {
            return Err(bad(key, &count, "1 to 1000000"));
        }
        let sizes = [
            ("http_body_bytes_max", self.http_body_bytes_max),
            ("http_header_bytes_max", self.http_header_bytes_max),
        ];
        if let Some((key, size)) = sizes
            .into_iter()
            .find(|(_, size)| !(8192..=256 * 1024 * 1024).contains(size))
        {
            return Err(bad(key, &size, "8192 to 268435456 bytes"));
        }
        Ok(HttpConfig {
            body_bytes_max: self.http_body_bytes_max,
            header_bytes_max: self.http_header_bytes_max,
            header_timeout: duration("http_header_timeout", &self.http_header_timeout)?,
            body_timeout: duration("http_body_timeout", &self.http_body_timeout)?,
            write_timeout: duration("write_timeout", &self.write_timeout)?,
            requests_in_flight_max: self.http_requests_in_flight_max,
            requests_per_second: NonZeroU32::new(self.http_requests_per_second),
            is_loopback_limited: self.http_limit_loopback,
            rate_keys_max: self.http_rate_keys_max,
            watches_max: self.http_watches_max,
            wait_max: duration("http_wait_max", &self.http_wait_max)?,
            keep_alive_interval: duration(
                "http_keep_alive_interval",
                &self.http_keep_alive_interval,
            )?,
            is_metrics_guarded: self.http_guard_metrics,
        })
    }

    /// A token that the daemon knows.
    pub fn any_token(&self) -> Option<&str> {
        let named = self.tokens.first().map(|token| token.secret.as_str());
        Some(self.token.as_str())
            .filter(|token| !token.is_empty())
            .or(named)
    }

    fn tokens(&self) -> Result<Vec<Token>> {
        let mut tokens = Vec::new();
        if !self.token.is_empty() {
            tokens.push(Token::new("token", Access::Write, &self.token));
        }
        for TokenSetting {
            name,
            secret,
            access,
        } in &self.tokens
        {
            let access = match access.as_str() {
                "read" => Access::Read,
                "write" => Access::Write,
                other => {
                    return Err(bad(
                        &format!("tokens.{name}.access"),
                        &other,
                        "read or write",
                    ));
                }
            };
            if name.is_empty() || secret.is_empty() {
                return Err(bad(&format!("tokens.{name}"), &"", "a name and a secret"));
            }
            tokens.push(Token::new(name.clone(), access, secret));
        }
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
            .check()
            .expect_err("the setting makes no sense")
            .to_string()
    }

    #[test]
    fn senseless_settings_are_told_by_key_value_and_range() {
        assert!(Settings::default().check().is_ok());
        let error = refused(|s| s.durability = "never".into());
        assert!(
            error.contains("durability") && error.contains("never") && error.contains("synced"),
            "{error}"
        );
        assert!(refused(|s| s.ping_interval = "0s".into()).starts_with("ping_interval"));
        assert!(refused(|s| s.connections_max = 0).starts_with("connections_max"));
        assert!(refused(|s| s.queue_commands_max = usize::MAX).starts_with("queue_commands_max"));
        assert!(refused(|s| s.message_bytes_max = 1).starts_with("message_bytes_max"));
        assert!(refused(|s| s.registry_backend = "etcd".into()).starts_with("registry_backend"));
    }
}
