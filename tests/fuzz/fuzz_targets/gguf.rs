//! Whole GGUF files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::{held, scratch, seeds};
use wanfarm_model::Weights;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    if let Ok(weights) = Weights::open(&[scratch::file("m.gguf", data)]) {
        held::check(&weights);
    }
});

/// One file for each type of numbers, and one with a shape that was stored otherwise.
fn seeds() -> Vec<Vec<u8>> {
    let types = [(0, 4, 1), (1, 2, 1), (30, 2, 1), (2, 18, 32), (3, 20, 32), (6, 22, 32), (7, 24, 32), (8, 34, 32)];
    let types =
        types.into_iter().chain([(10, 84, 256), (11, 110, 256), (12, 144, 256), (13, 176, 256), (14, 210, 256)]);
    let files =
        types.map(|(kind, bytes, block)| file("blocks.0.ffn.0.weight", kind, [256, 2], 512 / block * bytes, &[]));
    let reshaped = file("patch_embedding.weight", 1, [64, 8], 1024, &[8, 16, 1, 2, 2]);
    files.chain([reshaped, file("enc.output_norm.weight", 0, [8, 1], 32, &[])]).collect()
}

fn file(name: &str, kind: u32, dims: [u64; 2], data: usize, shape: &[u32]) -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let pairs = 2 + u64::from(!shape.is_empty());
    let mut file = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &1u64.to_le_bytes(), &pairs.to_le_bytes()].concat();
    file.extend([string("words"), [9u32, 8].map(u32::to_le_bytes).concat()].concat());
    file.extend([2u64.to_le_bytes().to_vec(), string("one"), string("two")].concat());
    file.extend([string("general.alignment"), [4u32, 32].map(u32::to_le_bytes).concat()].concat());
    if !shape.is_empty() {
        file.extend(string(&format!("comfy.gguf.orig_shape.{name}")));
        file.extend([9u32, 5].map(u32::to_le_bytes).concat());
        file.extend((shape.len() as u64).to_le_bytes());
        shape.iter().for_each(|dim| file.extend(dim.to_le_bytes()));
    }
    file.extend([string(name), 2u32.to_le_bytes().to_vec()].concat());
    dims.iter().for_each(|dim| file.extend(dim.to_le_bytes()));
    file.extend([kind.to_le_bytes().to_vec(), 0u64.to_le_bytes().to_vec()].concat());
    file.resize(file.len().div_ceil(32) * 32 + data, 0x3f);
    file
}
