//! What histories are made of: the engine, openers that share a path, daemons that are killed.

mod attach;
mod daemon;
mod engine;
mod registry;
mod written;

pub(crate) use attach::attached;
pub(crate) use daemon::{daemons, serve};
pub(crate) use engine::engine;
