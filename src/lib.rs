//! Switchboard: many chatbots behind one WhatsApp webhook.
//!
//! The modules stand in the order the data falls, from spring to sea. A module imports only what stands
//! below it in this list; `tests/architecture.rs` checks that.

pub mod graph;
pub mod store;
pub mod message;
