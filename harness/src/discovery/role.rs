//! Well-known names of roles. Any other name is as good.

/// Takes what comes in.
pub const ACCEPTOR: &str = "acceptor";
/// Writes it down; also called an ingester.
pub const WRITER: &str = "writer";
/// Sends it where it belongs.
pub const ROUTER: &str = "router";
/// Answers questions about it.
pub const QUERIER: &str = "querier";

/// All of them.
pub const ALL: [&str; 4] = [ACCEPTOR, WRITER, ROUTER, QUERIER];
