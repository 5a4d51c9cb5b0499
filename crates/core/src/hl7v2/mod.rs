//! HL7 v2 as the core knows it. Never a socket, a file or a clock.

pub mod mllp;
