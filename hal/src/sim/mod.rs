//! The simulated world.

pub mod medium;
