//! Compiles the `.proto` files with a pure-Rust compiler, so that no `protoc` has to be installed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["types", "tensors", "worker", "farm"].map(|name| format!("render/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=render");
    let descriptors = protox::compile(files, ["."])?;
    let bytes = [".render.v1.Chunk.data", ".render.v1.Delivery.data"];
    let build = bytes.into_iter().fold(tonic_prost_build::configure(), |build, field| build.bytes(field));
    build.compile_fds(descriptors)?;
    Ok(())
}
