//! Closed-loop clients: one thread and one set of polled sockets, whoever is asked.
//!
//! Every subject is driven by the same loop. What differs is a [`Dialogue`], which turns work into bytes and bytes into
//! answers, and never touches a socket.

mod clock;
mod closed_loop;
mod connection;
mod dialogue;
mod poller;
mod watching;

pub(crate) use clock::now;
pub(crate) use closed_loop::{Course, Measured, SILENCE_MAX, ask, drive};
pub(crate) use connection::Connection;
pub(crate) use dialogue::{Dialogue, Heard, Work};
pub(crate) use watching::{Watched, watch};
