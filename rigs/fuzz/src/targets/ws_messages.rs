//! WebSocket messages: JSON text, a request on each line, handed to the command layer.
//!
//! A request reads back as it was read; one that is refused, or only reads, leaves the registry as it was.

use std::str;

use registry_api::{ACTIONS, Effect, ErrorCode, Request, parse_request};
use serde_json::Value;

use crate::face::Bench;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "ws_messages",
    run,
    dictionary: DICTIONARY,
    engine: None,
};

/// Most requests of one input.
const REQUESTS_MAX: usize = 32;

/// What requests are made of.
pub(crate) const DICTIONARY: &[&str] = &[
    "\"action\":",
    "\"params\":{",
    "\"filter\":{",
    "\"cursor\":\"",
    "\"limit\":",
    "\"expect_revision\":",
    "\"idempotency_key\":\"k\"",
    "\"stale\":true",
    "\"incarnation\":18446744073709551615",
    "\"lease_ttl\":\"86400s\"",
    "\"metadata\":{\"k\":\"v\"}",
    "\"instance\":{",
    "\"service\":\"api\"",
    "null",
    "1e999",
    "-0",
    "\\u0000",
    "\\ud800",
    "[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "\n{\"id\":\"1\",\"type\":\"request\",\"action\":\"",
];

fn run(input: &[u8]) {
    let lines = input.split(|byte| *byte == b'\n').take(REQUESTS_MAX);
    // Text that is no UTF-8 does not get so far.
    let lines: Vec<&str> = lines.filter_map(|line| str::from_utf8(line).ok()).collect();
    Bench::with(async |bench| {
        for line in lines {
            check(bench, line).await;
        }
        bench.check_alive().await;
    });
}

async fn check(bench: &Bench, text: &str) {
    let request = match parse_request(text) {
        Ok(request) => request,
        Err((_, message)) => return assert!(!message.is_empty(), "a refusal says why"),
    };
    check_reads_back(&request);
    let effect = ACTIONS
        .iter()
        .find(|action| action.name == request.action)
        .map(|action| action.effect);
    let params = request
        .params
        .as_deref()
        .map_or("{}", |params| params.get());
    let before = bench.head().await;
    let answered = bench
        .api
        .call(&request.action, params, &bench.caller())
        .await;
    let after = bench.head().await;
    match answered {
        Ok(answer) => {
            let data: Result<Value, _> = serde_json::from_str(answer.data.get());
            data.expect("an answer is JSON");
            assert!(
                answer.revision <= after.revision(),
                "an answer from the future"
            );
            let only_reads = effect != Some(Effect::Write);
            assert!(!only_reads || before == after, "a read changed something");
        }
        Err(error) => {
            let is_fault = matches!(error.code, ErrorCode::Internal | ErrorCode::StoreDamaged);
            assert!(!is_fault, "{error:?}");
            assert_eq!(before, after, "a refused request changed something");
        }
    }
}

fn check_reads_back(request: &Request) {
    let text = serde_json::to_string(request).expect("a request has a JSON form");
    let again = parse_request(&text).expect("what is written can be read");
    assert_eq!(serde_json::to_string(&again).ok(), Some(text));
}
