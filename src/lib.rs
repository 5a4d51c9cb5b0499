//! The Fairway daemon: everything that does I/O.

pub mod cli;
pub mod config;
pub mod mllp;
pub mod store;
