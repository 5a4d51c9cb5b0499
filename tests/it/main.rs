//! The daemon from outside: real sockets, real stores, real processes. One binary, so that it links once.

mod mllp;
