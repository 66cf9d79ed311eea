//! Compiles the `.proto` files with a pure-Rust compiler, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::Path;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["types", "tensors", "worker", "farm", "access"].map(|name| format!("render/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=render");
    let descriptors = protox::compile(files, ["."])?;
    // For whoever asks a server what it serves.
    let told = Path::new(&std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(told, descriptors.encode_to_vec())?;
    let bytes = [".render.v1.Chunk.data", ".render.v1.Delivery.data"];
    let build = bytes.into_iter().fold(tonic_prost_build::configure(), |build, field| build.bytes(field));
    build.compile_fds(descriptors)?;
    Ok(())
}
