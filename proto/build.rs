//! Compiles the `.proto` files with a pure-Rust compiler, so that no `protoc` has to be installed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["types", "tensors", "worker", "farm"].map(|name| format!("render/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=render");
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure().bytes(".render.v1.Chunk.data").compile_fds(descriptors)?;
    Ok(())
}
