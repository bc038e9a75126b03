//! What is counted.

use anyhow::Result;

use super::{faces, stores};

/// One operation, many times.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Operations of the shorter run.
    pub(super) operations: u64,
    /// Sets up, and runs so many operations.
    pub(super) run: fn(u64) -> Result<()>,
}

const fn case(name: &'static str, operations: u64, run: fn(u64) -> Result<()>) -> Case {
    Case {
        name,
        operations,
        run,
    }
}

/// Every case. An operation is one lookup, registration, heartbeat or delivered event, or one record of a list or of a
/// store that is opened.
///
/// json and sled are not among them: threads of theirs follow the clock, so that counts of them are those of the
/// machine's speed.
pub(super) const CASES: &[Case] = &[
    case("lookup_in_process", 50_000, stores::lookup),
    case("lookup_over_http", 500, faces::lookup_http),
    case("lookup_over_websocket", 500, faces::lookup_websocket),
    case("list_over_http", 20_000, faces::list_http),
    case("register_over_websocket", 512, faces::register_websocket),
    case("heartbeat_in_process", 50_000, stores::heartbeat),
    case("heartbeat_over_websocket", 500, faces::heartbeat_websocket),
    case("heartbeats_in_batches", 10_000, faces::heartbeats_websocket),
    case("event_to_100_subscribers", 2000, faces::events_websocket),
    case("register_on_memory", 1024, stores::register_memory),
    case("register_on_redb", 1024, stores::register_redb),
    case("register_on_sqlite", 1024, stores::register_sqlite),
    case("open_redb", 1000, stores::open_redb),
    case("open_sqlite", 1000, stores::open_sqlite),
];
