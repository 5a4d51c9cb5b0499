//! The command line: one file per command.
//!
//! Reads files, arguments and the terminal so that nothing below has to. Never decides what a message means.

pub mod messages;
pub mod send;
