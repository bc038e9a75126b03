//! Several openers of one path: in this process and in others.

mod fixture;
mod handover;
mod hostile;
mod owner;
mod process;
mod silence;
