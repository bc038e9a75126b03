//! What goes over the socket: frames of JSON.
//!
//! A connection begins with [`Hello`], whose form never changes, so that programs of any two versions can tell each other
//! who they are; everything after it belongs to [`PROTOCOL`].

mod failure;
mod form;
mod frame;
mod hello;
mod message;

pub(crate) use failure::Failure;
pub(crate) use frame::{TooLarge, decode, encode, read_frame, write_frame};
pub(crate) use hello::{Hello, Welcome};
pub use hello::{Peer, Sharing, read_hello, read_welcome};
pub(crate) use message::{Answer, FromOwner, FromPeer, Request};
pub use message::{read_from_owner, read_from_peer};

/// Version of everything after the hello.
pub(crate) const PROTOCOL: u32 = 1;
