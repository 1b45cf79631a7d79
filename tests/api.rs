//! The integration API over real sockets: every rule of its contract, on the embedded database.

#[path = "api/access.rs"]
mod access;
#[path = "api/audit.rs"]
mod audit;
#[path = "api/chatbots.rs"]
mod chatbots;
#[path = "api/components.rs"]
mod components;
#[path = "api/dead_letters.rs"]
mod dead_letters;
#[path = "api/document.rs"]
mod document;
#[path = "api/harness.rs"]
mod harness;
#[path = "api/idempotency.rs"]
mod idempotency;
#[path = "api/integration.rs"]
mod integration;
#[path = "api/live.rs"]
mod live;
#[path = "api/matrix.rs"]
mod matrix;
#[path = "api/messages.rs"]
mod messages;
#[path = "api/overview.rs"]
mod overview;
#[path = "api/people.rs"]
mod people;
#[path = "api/sending.rs"]
mod sending;
#[path = "api/sessions.rs"]
mod sessions;
#[path = "it/harness/postgres.rs"]
mod postgres;
#[path = "api/sign_up.rs"]
mod sign_up;
#[path = "api/sign_in.rs"]
mod sign_in;
#[path = "api/supabase.rs"]
mod supabase;
