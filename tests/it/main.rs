//! The daemon from outside: real sockets, real stores, real processes. One binary, so that it links once.

#![allow(clippy::unwrap_used)]

mod bad_peers;
mod crash;
mod daemon;
mod fixtures;
mod http;
mod memory;
mod mllp;
mod probe;
mod process;
mod send;
mod show;
mod writer;
