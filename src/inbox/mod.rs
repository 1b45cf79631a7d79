//! Station 1: what came in.

pub mod normalize;
