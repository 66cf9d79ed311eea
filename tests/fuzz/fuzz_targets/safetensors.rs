//! Headers of safetensors, those that MLX quantised with their configuration behind a zero byte. The first byte says how
//! much longer than its data a file is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::{header, held, scratch, seeds};
use wanfarm_model::Weights;
use wanfarm_weights::{ConfigFile, WeightFiles};

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [more, rest @ ..] = data else { return };
    let (head, config) = match rest.iter().position(|byte| *byte == 0) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    // Most files are whole.
    let more = if (-8..=8).contains(&more.cast_signed()) { more.cast_signed() } else { 0 };
    let path = scratch::file("m.safetensors", &header::file(head, more));
    if let Ok(weights) = Weights::open(std::slice::from_ref(&path)) {
        assert_eq!(more, 0, "a file of another length is refused");
        held::check(&weights);
    }
    let Some(config) = config else { return };
    if let Ok(config) = ConfigFile::read(&scratch::file("config.json", config)) {
        let _ = WeightFiles::open_with(std::slice::from_ref(&path), &config).map(|files| files.dtypes());
    }
});

fn seeds() -> Vec<Vec<u8>> {
    let golden = |path: &str| header::of_file(seeds::repository("tests/golden/data").join(path));
    let mut seeds: Vec<_> = [
        small(&[("a.weight", "F32", &[2, 3], 24), ("a.bias", "BF16", &[2], 4), ("b.weight", "F8_E4M3", &[4], 4)]),
        small(&[("diffusion_model.blocks.0.ffn.0.weight", "F8_E4M3", &[4, 8], 32)]),
        small(&[
            ("a.weight", "F8_E5M2", &[4, 8], 32),
            ("a.scale_weight", "F32", &[], 4),
            ("scaled_fp8", "U8", &[1], 1),
        ]),
        small(&[("a.weight", "F8_E4M3", &[4, 8], 32), ("a.weight_scale", "F16", &[4, 1], 8)]),
        small(&[("patch_embedding.bias", "F32", &[2], 8), ("patch_embedding.weight", "F32", &[2, 4], 32)]),
        small(&[("conv.weight", "F16", &[2, 3, 3, 3, 4], 432), ("conv2.weight", "F16", &[3, 3, 3, 1], 54)]),
        small(&[("decoder.conv_in.weight", "F32", &[1, 1, 1, 1, 1], 4), ("encoder.conv_in.weight", "F32", &[1], 4)]),
        golden("repo_t2v_from_prompt/official_repo/high_noise_model/diffusion_pytorch_model.safetensors"),
    ]
    .into_iter()
    .map(|header| seeds::behind(0, header))
    .collect();
    let packed: [&[(&str, &str, &[usize], usize)]; 2] = [
        &[("l.weight", "U32", &[4, 8], 128), ("l.scales", "BF16", &[4, 1], 8), ("l.biases", "BF16", &[4, 1], 8)],
        &[("l.weight", "U32", &[2, 8], 64), ("l.scales", "F16", &[2, 2], 8), ("l.biases", "F16", &[2, 2], 8)],
    ];
    let configs =
        [r#"{"quantization":{"group_size":64,"bits":4}}"#, r#"{"quantization":{"l":{"bits":4,"group_size":32}}}"#];
    for (tensors, config) in packed.into_iter().zip(configs) {
        seeds.push(seeds::behind(0, [small(tensors), vec![0], config.into()].concat()));
        seeds.push(seeds::behind(255, small(tensors)));
    }
    seeds
}

fn small(tensors: &[(&str, &str, &[usize], usize)]) -> Vec<u8> {
    header::of(tensors.iter().map(|(name, dtype, shape, bytes)| (*name, *dtype, shape.to_vec(), *bytes)))
}
