//! Tables, charts, and the page that they stand on.

mod chart;
mod engine;
mod output;
pub(crate) mod page;
mod ratios;
mod table;

pub(crate) use engine::engine_text;
pub(crate) use output::Output;
pub(crate) use table::{daemon_text, peers_text};
