//! The configuration file of the daemon.
//!
//! A refusal names a key; a daemon with what is accepted takes a registration and answers a request.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str;
use std::sync::LazyLock;

use harness::settings::{Settings, Usage};
use registry_http::HttpServer;
use registry_ws::WsServer;
use serde_json::json;

use super::http_connection::CLIENT;
use crate::face::{Bench, converse};
use crate::http::take_answer;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "config_file",
    run,
    dictionary: &[
        "bind = [",
        "\"127.0.0.1:0\"",
        "\"unix:/run/a.sock\"",
        "durability = \"interval:1ms\"\n",
        "cache_mib = ",
        "queue_commands_max = ",
        "connections_max = ",
        "requests_in_flight_max = ",
        "requests_per_second = ",
        "http_requests_per_second = ",
        "http_rate_keys_max = ",
        "lease_keeper_ttl = \"",
        "[[tokens]]\n",
        "secret = \"s\"\n",
        "access = \"read\"\n",
        "18446744073709551615",
        "213503d",
        "999999999h",
        "1ms",
        "0s",
        "\"\"\"",
        "[a.b]\n",
        "inf",
        "0x7fffffffffffffff",
        "1979-05-27T07:32:00Z",
        "= {",
        "\\u0000",
    ],
    engine: None,
};

/// A request that any client may make.
const REQUEST: &[u8] = b"GET /v1/services HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let settings = match Settings::of_file(text) {
        Ok(settings) => settings,
        Err(Usage(problem)) => {
            return assert!(problem.starts_with("configuration: "), "{problem}");
        }
    };
    match settings.check() {
        Ok(()) => check_daemon(&settings),
        Err(Usage(problem)) => check_place(&problem),
    }
}

/// Checks that a problem begins with the key of a setting.
fn check_place(problem: &str) {
    static KEYS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let settings = json!(Settings::default());
        let keys = settings.as_object().into_iter().flatten();
        keys.map(|(key, _)| key.clone()).collect()
    });
    let key = problem.split([':', '.']).next().unwrap_or_default();
    assert!(KEYS.contains(key), "no key: {problem}");
}

fn check_daemon(settings: &Settings) {
    const ACCEPTED: &str = "the settings were checked";
    let engine = settings.engine().expect(ACCEPTED);
    Bench::configured(engine, async |bench| {
        let ws = WsServer::new(bench.api.clone(), settings.ws().expect(ACCEPTED));
        let server = HttpServer::new(ws, settings.http().expect(ACCEPTED));
        let peer = SocketAddr::from(CLIENT);
        let heard = converse(REQUEST, |stream| server.handle(stream, peer)).await;
        let (answer, _) = take_answer(&heard, true).expect("a request is answered");
        answer.check(true);
        bench.check_alive().await;
    });
}
