//! What is fuzzed.

use crate::targets::{
    attach, http_connection, http_request, import_legacy, import_ndjson, json_store, log_value,
    portable, stored_value, texts, ws_frames, ws_handshake, ws_messages,
};

/// A function that takes hostile bytes, with what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the target and of its folder in `corpus`.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Texts that the mutator inserts.
    pub dictionary: &'static [&'static str],
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    attach::TARGET,
    http_connection::TARGET,
    http_request::TARGET,
    import_legacy::TARGET,
    import_ndjson::TARGET,
    json_store::TARGET,
    log_value::TARGET,
    portable::TARGET,
    stored_value::TARGET,
    texts::TARGET,
    ws_frames::TARGET,
    ws_handshake::TARGET,
    ws_messages::TARGET,
];

/// The target of a name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
