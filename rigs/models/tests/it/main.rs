//! The models, small under loom and larger under shuttle, each with the faults that it must find.

mod under_loom;
mod under_shuttle;
