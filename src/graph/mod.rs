//! Meta's wire: what the Graph API and its webhooks look like. Knows no tenant.

pub mod client;
pub mod content;
pub mod errors;
pub mod media;
pub mod messages;
pub mod multipart;
pub mod onboarding;
pub mod payload;
pub mod signature;
