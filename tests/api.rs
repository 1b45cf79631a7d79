//! The integration API over real sockets: every rule of its contract, on the embedded database.

#[path = "api/access.rs"]
mod access;
#[path = "api/harness.rs"]
mod harness;
