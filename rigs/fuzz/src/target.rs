//! What is fuzzed.

use crate::panics::{Caught, guard};
use crate::targets::{
    attach, config_file, http_connection, http_request, import_legacy, import_ndjson, json_store,
    log_value, portable, redb_store, sled_store, sqlite_store, stored_value, texts, ws_frames,
    ws_handshake, ws_messages,
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
    /// The crate whose own files are the input. Its panics are errors that the library must contain.
    pub engine: Option<&'static str>,
}

impl Target {
    /// Runs an input.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn check(&self, input: &[u8]) -> Result<(), Caught> {
        guard(self.engine, || (self.run)(input))
    }
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    attach::TARGET,
    config_file::TARGET,
    http_connection::TARGET,
    http_request::TARGET,
    import_legacy::TARGET,
    import_ndjson::TARGET,
    json_store::TARGET,
    log_value::TARGET,
    portable::TARGET,
    redb_store::TARGET,
    sled_store::TARGET,
    sqlite_store::TARGET,
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
