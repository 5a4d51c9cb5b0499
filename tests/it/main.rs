//! The daemon from outside: real sockets, real stores, real processes. One binary, so that it links once.

#![allow(clippy::unwrap_used)]

mod answers;
mod bad_peers;
mod certificates;
mod convert;
mod crash;
mod daemon;
mod facts;
mod fixtures;
mod hl7_http;
mod http;
mod link;
mod manual;
mod memory;
mod mllp;
mod probe;
mod process;
mod reload;
mod send;
mod show;
mod tls;
mod tls_daemon;
mod utf16;
mod writer;
