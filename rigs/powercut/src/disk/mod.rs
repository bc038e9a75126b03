//! A disk in memory that keeps what was written and what was synced apart. Knows nothing of FUSE.

mod change;
mod image;
mod survival;
#[cfg(test)]
mod tests;
mod volume;

pub(crate) use image::{Image, Inode, Kind, ROOT, Refusal};
pub(crate) use survival::Survival;
pub(crate) use volume::{Fault, Lie, Model, Operation, Plan, Volume};
