//! What a user asked for, step by step, on any card behind [`Device`].

mod device;
pub use device::Device;
