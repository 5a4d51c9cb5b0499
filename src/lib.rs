//! The Fairway daemon: everything that does I/O.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod fixtures;
pub mod http;
pub mod intake;
pub mod mllp;
pub mod store;
pub mod telemetry;
pub mod tls;
