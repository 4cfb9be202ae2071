//! What knows neither mail nor kernel.

pub mod document;
pub mod quantity;
pub mod slab;
pub mod spare;
pub mod suggestion;
pub mod time;
pub mod timer_wheel;
