//! Meta's wire: what the Graph API and its webhooks look like. Knows no tenant.

pub mod errors;
pub mod payload;
pub mod signature;
