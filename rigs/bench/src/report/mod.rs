//! Tables, charts, and the page that they stand on.

mod chart;
pub(crate) mod page;
mod ratios;
mod table;

pub(crate) use table::{daemon_text, peers_text};
