//! The only wire edge: generated gRPC types, their conversion to domain types, and tensor streaming.
//!
//! Deliberately not here: any decision. Generated types (`v1`) are named by this crate and by the service
//! edges of the binaries, nowhere else.

pub mod convert;
pub mod crowd;
pub mod dial;
pub mod file_chunks;
mod frame;
pub mod listen;
mod location;
mod plain;
pub mod tensors;

/// Generated from `render/v1/*.proto`; the `.proto` files are their documentation.
#[expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the .proto files carry the comments"
)]
pub mod v1 {
    tonic::include_proto!("render.v1");
}

/// The `.proto` files as they were compiled, an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Both sides of the control plane must speak the same version; raised with every incompatible change.
pub const PROTOCOL: u32 = 4;

/// Largest message either side accepts or sends. Tensors travel in chunks and never come near it;
/// a manifest of 10,000 videos does.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

pub use convert::WireError;
pub use location::{BadLocation, Location};
