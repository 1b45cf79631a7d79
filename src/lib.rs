//! Switchboard: many chatbots behind one WhatsApp webhook.
//!
//! The modules stand in the order the data falls, from spring to sea. A module imports only what stands
//! below it in this list; `tests/architecture.rs` checks that.

pub mod cli;
pub mod app;
pub mod sandbox;
pub mod dashboard;
pub mod webhook;
pub mod api;
pub mod inbox;
pub mod conversation;
pub mod outbox;
pub mod onboarding;
pub mod channel;
pub mod media;
pub mod notify;
pub mod alerts;
pub mod routing;
pub mod responder;
pub mod auth;
pub mod news;
pub mod graph;
pub mod store;
pub mod config;
pub mod message;
pub mod secret;
pub mod telemetry;
pub mod runtime;
pub mod ids;
