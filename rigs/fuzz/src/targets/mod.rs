//! One file for each target.

pub(crate) mod attach;
pub(crate) mod config_file;
pub(crate) mod http_connection;
pub(crate) mod http_request;
pub(crate) mod import_legacy;
pub(crate) mod import_ndjson;
pub(crate) mod json_store;
pub(crate) mod log_value;
pub(crate) mod portable;
pub(crate) mod redb_store;
pub(crate) mod sled_store;
pub(crate) mod sqlite_store;
pub(crate) mod stored_value;
pub(crate) mod texts;
pub(crate) mod ws_frames;
pub(crate) mod ws_handshake;
pub(crate) mod ws_messages;
