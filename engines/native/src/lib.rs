//! One linked WhatsApp device in this process, over keys that somebody else keeps.
//!
//! Everything that whatsapp-rust has to say stays in here. Outside are [`Keys`], where a device's keys lie, [`Ears`], which
//! hear what comes in, and [`Device`], which speaks.

mod backend;
mod content;
mod device;
mod events;
mod keys;
mod runtime;
#[cfg(feature = "stand-in")]
pub mod stand_in;

pub use content::{Content, Message};
pub use device::{Device, DeviceError, SendError, Settings};
pub use events::{Ears, Me, Receipt, Stage};
pub use keys::{Keys, KeysError, Step};
/// For implementing [`Keys`] and [`Ears`].
pub use whatsapp_rust::async_trait;

#[cfg(all(feature = "stand-in", not(debug_assertions)))]
compile_error!("a device that believes any server is for tests alone: build without `stand-in`");
