//! What is read of MLX's tensors by their shapes, and what of them is refused; their numbers are the model's to test.

use std::fs;
use std::path::Path;

use safetensors::Dtype::{self, BF16, F16, F32, U8, U32};
use safetensors::tensor::TensorView;

use crate::config_file::ConfigFile;
use crate::encoding::{Affine, Encoding};
use crate::weight_files::WeightFiles;

type Tensors<'a> = Vec<(&'a str, Dtype, Vec<usize>)>;

/// A file of zeros, opened with this `config.json`.
fn open(folder: &Path, tensors: &Tensors<'_>, config: &str) -> Result<WeightFiles, String> {
    let bytes = vec![0; 1 << 16];
    let view = |(name, dtype, shape): &(&str, Dtype, Vec<usize>)| {
        let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (name.to_string(), TensorView::new(*dtype, shape.clone(), &bytes[..length]).unwrap())
    };
    let (path, config_path) = (folder.join("model.safetensors"), folder.join("config.json"));
    fs::write(&path, safetensors::serialize(tensors.iter().map(view), None).unwrap()).unwrap();
    fs::write(&config_path, config).unwrap();
    WeightFiles::open_with(&[path], &ConfigFile::read(&config_path).unwrap()).map_err(|error| error.to_string())
}

/// A transformer's queries `(6, 256)` of 4 bits in groups of 64, and the bias that tells their inputs.
fn queries() -> Tensors<'static> {
    vec![
        ("patch_embedding.bias", F32, vec![256]),
        ("blocks.0.self_attn.q.weight", U32, vec![6, 32]),
        ("blocks.0.self_attn.q.scales", BF16, vec![6, 4]),
        ("blocks.0.self_attn.q.biases", BF16, vec![6, 4]),
    ]
}

/// A layer that nothing tells the inputs of, with the same shapes.
fn layer(name: &'static [&'static str; 3]) -> Tensors<'static> {
    vec![(name[0], U32, vec![6, 32]), (name[1], BF16, vec![6, 4]), (name[2], BF16, vec![6, 4])]
}

const TIME: [&str; 3] = ["time_embedding.0.weight", "time_embedding.0.scales", "time_embedding.0.biases"];

fn read(weights: &WeightFiles, name: &str) -> (Vec<usize>, Encoding, u64) {
    let (_, entry) = weights.entry(name).unwrap();
    (entry.shape.clone(), entry.encoding, weights.bytes(name))
}

fn affine(bits: usize, group: usize) -> Encoding {
    Encoding::Affine(Affine { bits, group, factors: BF16 })
}

#[test]
fn shapes_tell_the_bits_where_the_network_tells_the_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let name = "blocks.0.self_attn.q.weight";
    for (inputs, bits, group) in [(256, 4, 64), (128, 8, 32), (512, 2, 128)] {
        let mut tensors = queries();
        tensors[0].2 = vec![inputs];
        let weights = open(folder.path(), &tensors, "{}").unwrap();
        assert_eq!(read(&weights, name), (vec![6, inputs], affine(bits, group), 6 * 128 + 2 * 6 * 4 * 2));
        assert!(weights.names().eq([name, "patch_embedding.bias"]));
        let share = weights.dtypes()[&format!("mlx_{bits}bit_g{group}")];
        assert_eq!((share.tensors, share.elements, share.bytes), (1, 6 * inputs as u64, 864));
    }
}

#[test]
fn elsewhere_the_configuration_tells_or_the_rest_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let of =
        |tensors: &Tensors<'_>, config: &str| Ok::<_, String>(read(&open(folder.path(), tensors, config)?, TIME[0]));
    let alone = layer(&TIME);
    for (config, inputs, bits, group) in [
        (r#"{"quantization": {"group_size": 64, "bits": 4}}"#, 256, 4, 64),
        (r#"{"quantization": {"group_size": 32}}"#, 128, 8, 32),
        (
            r#"{"quantization": {"group_size": 64, "bits": 4, "time_embedding.0": {"group_size": 128, "bits": 2}}}"#,
            512,
            2,
            128,
        ),
        (r#"{"quantization": {"group_size": 64, "bits": 4, "time_embedding.0": true}}"#, 256, 4, 64),
    ] {
        assert_eq!(of(&alone, config), Ok((vec![6, inputs], affine(bits, group), 864)), "{config}");
    }
    let error = of(&alone, "{}").unwrap_err();
    assert!(error.contains("model.safetensors: time_embedding.0.weight, of which 32 words and 4 scales"), "{error}");
    assert!(error.contains("put the config.json beside it"), "{error}");
    assert_eq!(of(&[queries(), alone].concat(), "{}"), Ok((vec![6, 256], affine(4, 64), 864)));
}

#[test]
fn a_configuration_of_other_weights_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (config, words) in [
        (
            r#"{"quantization": {"group_size": 32, "bits": 4}}"#,
            "bits = 4 and group_size = 32 of blocks.0.self_attn.q.weight, and it is of 4 bits in groups of 64",
        ),
        (r#"{"quantization": {"group_size": 64, "bits": 8}}"#, "bits = 8 and group_size = 64 of"),
        (
            r#"{"quantization": {"bits": 4, "blocks.0.self_attn.q": false}}"#,
            "says false of blocks.0.self_attn.q, which is quantised",
        ),
        (r#"{"quantization": {"bits": "four"}}"#, "bits = \"four\" in quantization is not a positive whole number"),
    ] {
        let error = open(folder.path(), &queries(), config).unwrap_err();
        assert!(error.contains("config.json: ") && error.contains(words), "{error}");
    }
    // Of what is not packed it may say what it likes.
    assert!(open(folder.path(), &queries()[..1].to_vec(), r#"{"quantization": {"bits": 5}}"#).is_ok());
}

#[test]
fn three_tensors_that_make_no_matrix_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let changed = |change: &dyn Fn(&mut Tensors<'static>)| {
        let mut tensors = queries();
        change(&mut tensors);
        let error = open(folder.path(), &tensors, "{}").unwrap_err();
        assert!(error.contains("model.safetensors: ") && error.contains("blocks.0.self_attn.q"), "{error}");
        error
    };
    type Change = fn(&mut Tensors<'static>);
    let changes: [(Change, &str); 12] = [
        (|t| t[0].2 = vec![320], "it has 32 words and 4 scales for each row, which are not the 320 inputs"),
        (|t| t[1].2 = vec![6, 30], "which are no groups of 32, 64 or 128 numbers of 2 to 6 or 8 bits"),
        (|t| (t[2].2, t[3].2) = (vec![6, 3], vec![6, 3]), "it has 32 words and 3 scales for each row"),
        (
            |t| (t[2].2, t[3].2) = (vec![4, 6], vec![4, 6]),
            "its scales have the shape [4, 6] and its biases [4, 6], for 6 rows",
        ),
        (|t| t[3].2 = vec![6, 2], "its scales have the shape [6, 4] and its biases [6, 2]"),
        (|t| t[2].2 = vec![24], "its scales have the shape [24], not 6 rows"),
        (|t| t[3].1 = F16, "its scales are bf16 and its biases f16"),
        (|t| (t[2].1, t[3].1) = (U8, U8), "its scales are u8 and its biases u8"),
        (|t| t[1].1 = F32, "it has scales, and is f32 of shape [6, 32], not a packed matrix of u32"),
        (|t| _ = t.pop(), "scales without biases, as MLX's modes mxfp4"),
        (|t| _ = t.remove(2), "there are blocks.0.self_attn.q.biases of a matrix that MLX quantised, and no scales"),
        (|t| _ = t.remove(1), "there are blocks.0.self_attn.q.scales of a matrix that MLX quantised, and no weight"),
    ];
    for (change, words) in changes {
        let error = changed(&change);
        assert!(error.contains(words), "{error}");
        assert!(
            error.contains("download or convert the model again") || error.contains("mode affine, or not"),
            "{error}"
        );
    }
}
