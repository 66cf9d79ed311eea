//! What this server's gRPC services are, for tools that ask the server itself.

use tonic_reflection::server::{Builder, v1, v1alpha};

/// Tells it as today's tools ask; `None` if the descriptors that this program was built with cannot be read.
pub(crate) fn service() -> Option<v1::ServerReflectionServer<impl v1::ServerReflection>> {
    logged(builder().build_v1())
}

/// The same for tools that are older.
pub(crate) fn older() -> Option<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>> {
    logged(builder().build_v1alpha())
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(wanfarm_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Nothing else depends on it.
fn logged<T>(made: Result<T, tonic_reflection::server::Error>) -> Option<T> {
    made.inspect_err(|error| tracing::error!(%error, "the gRPC services cannot be described")).ok()
}
