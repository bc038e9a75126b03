//! Every bound of the protocol, by name and with its unit.

use std::time::Duration;

/// Largest frame, in bytes. A group or a page is at most 8 MiB of records, which JSON may write six times as long.
pub(crate) const FRAME_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Largest first frame of a connection, in bytes.
pub(crate) const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Most attached openers of one store at a time.
pub(crate) const PEERS_MAX: usize = 64;
/// Most requests of one connection that are worked on at a time; the next ones wait in the socket.
pub(crate) const REQUESTS_MAX: usize = 128;
/// Most frames that wait to be written to a connection.
pub(crate) const FRAMES_QUEUED_MAX: usize = 32;

/// How long an owner may be silent, or a store without an owner, before a call is answered without it. An
/// owner's silence is counted in whole [`PING_INTERVAL`]s.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Pause between two questions whether an owner that owes an answer lives.
pub(crate) const PING_INTERVAL: Duration = Duration::from_millis(500);
/// Pause between two attempts to own a store or to attach to its owner.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(5);
/// How long a store that cannot be opened for the moment is left alone before the next attempt.
pub(crate) const REOPEN_INTERVAL: Duration = Duration::from_millis(100);
/// How long the openers of an older version leave a store alone that is handed over to a newer one.
pub(crate) const YIELD_PATIENCE: Duration = Duration::from_secs(2);
/// How long an owner that hands over waits for its connections to end.
pub(crate) const FAREWELL_MAX: Duration = Duration::from_millis(200);
/// Pause between two looks whether a restore is sealed.
pub(crate) const RESTORING_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection may take for its first frame.
pub(crate) const HELLO_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an opener may take nothing of what is written to it before its connection is ended.
pub(crate) const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, such as for too many open files.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
