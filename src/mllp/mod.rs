//! HL7 v2 over MLLP on real sockets: the listener that takes messages in and the client that sends them.
//!
//! Never looks into a message further than the control id, and never logs one.

mod budget;
pub mod client;
mod connection;
pub mod listener;
