//! The sizes of a DiT: read from its tensors' shapes, and from `config.json` where shapes do not tell.

use wanfarm_types::Transformer;

use crate::config_file::{ConfigFile, MAX_COUNT};
use crate::error::FileError;
use crate::kernels::PATCH;
use crate::param::Param;
use crate::weight_files::WeightFiles;

/// Channels of a head where nothing says otherwise.
const HEAD_DIM: usize = 128;

/// Every tensor of a DiT of these sizes.
pub fn parameters(sizes: &Transformer) -> Vec<Param> {
    let dim = sizes.dim;
    let linear = |name: String, out: usize, inner: usize| Param::linear(&name, out, inner, true);
    let vector = |name: String| Param::new(name, [dim]);
    let attention = |prefix: String| {
        let products = ["q", "k", "v", "o"].map(|name| linear(format!("{prefix}.{name}"), dim, dim));
        let norms = ["norm_q", "norm_k"].map(|name| vector(format!("{prefix}.{name}.weight")));
        products.into_iter().flatten().chain(norms)
    };
    let [frames, rows, columns] = PATCH;
    let mut params = vec![
        Param::new("patch_embedding.weight", [dim, sizes.in_dim, frames, rows, columns]),
        vector("patch_embedding.bias".into()),
    ];
    params.extend(linear("text_embedding.0".into(), dim, sizes.text_dim));
    params.extend(linear("text_embedding.2".into(), dim, dim));
    params.extend(linear("time_embedding.0".into(), dim, sizes.freq_dim));
    params.extend(linear("time_embedding.2".into(), dim, dim));
    params.extend(linear("time_projection.1".into(), 6 * dim, dim));
    for block in (0..sizes.num_layers).map(|index| format!("blocks.{index}")) {
        params.push(Param::new(format!("{block}.modulation"), [1, 6, dim]));
        params.extend(attention(format!("{block}.self_attn")));
        if sizes.cross_attn_norm {
            params.extend(["weight", "bias"].map(|end| vector(format!("{block}.norm3.{end}"))));
        }
        params.extend(attention(format!("{block}.cross_attn")));
        params.extend(linear(format!("{block}.ffn.0"), sizes.ffn_dim, dim));
        params.extend(linear(format!("{block}.ffn.2"), dim, sizes.ffn_dim));
    }
    params.push(Param::new("head.modulation", [1, 2, dim]));
    params.extend(linear("head.head".into(), sizes.out_dim * PATCH.iter().product::<usize>(), dim));
    params
}

/// Reads the sizes of a DiT with official names.
///
/// # Errors
/// The tensors that tell are not there, or the head count cannot be known.
pub fn sizes(weights: &WeightFiles, file: &ConfigFile) -> Result<Transformer, FileError> {
    let shape = |name: &str, rank: usize| match weights.shape(name) {
        Some(shape) if shape.len() == rank => Ok(shape),
        Some(shape) => Err(FileError::corrupt(weights.place(), format!("{name} has the shape {shape:?}"))),
        None => Err(FileError::corrupt(weights.place(), format!("this is no Wan DiT: there is no {name}"))),
    };
    let patch = shape("patch_embedding.weight", 5)?;
    let block = |name: &str| name.strip_prefix("blocks.")?.split('.').next()?.parse::<usize>().ok();
    let layers = weights.names().filter_map(block).max().map_or(0, |last| last.saturating_add(1));
    // A file that lacks its last blocks must not pass for a smaller model.
    let num_layers = layers.max(file.count(&["num_layers"])?.unwrap_or(0));
    let sizes = Transformer {
        in_dim: patch[1],
        out_dim: shape("head.head.weight", 2)?[0] / PATCH.iter().product::<usize>(),
        dim: patch[0],
        num_heads: heads(file, patch[0])?,
        num_layers,
        ffn_dim: shape("blocks.0.ffn.0.weight", 2)?[0],
        freq_dim: shape("time_embedding.0.weight", 2)?[1],
        text_dim: shape("text_embedding.0.weight", 2)?[1],
        text_len: file.count(&["text_len"])?.unwrap_or(512),
        eps: file.number(&["eps"])?.unwrap_or(1e-6),
        cross_attn_norm: weights.shape("blocks.0.norm3.weight").is_some(),
    };
    // A tensor without numbers can have any other dimension, and products of these are counted.
    bounded(&sizes).map_err(|why| FileError::corrupt(weights.place(), why))?;
    checked(sizes, file)
}

/// Reads the sizes from `config.json` alone, for a folder that holds other parts of the model.
///
/// # Errors
/// A key is missing or impossible.
pub fn sizes_in_config(file: &ConfigFile) -> Result<Transformer, FileError> {
    let needed =
        |keys: &[&str]| file.count(keys)?.ok_or_else(|| file.wrong(format!("there is no {}", keys.join(" or "))));
    let dim = match file.count(&["dim"])? {
        Some(dim) => dim,
        None => needed(&["num_attention_heads"])? * needed(&["attention_head_dim"])?,
    };
    let sizes = Transformer {
        in_dim: needed(&["in_dim", "in_channels"])?,
        out_dim: needed(&["out_dim", "out_channels"])?,
        dim,
        num_heads: heads(file, dim)?,
        num_layers: needed(&["num_layers"])?,
        ffn_dim: needed(&["ffn_dim"])?,
        freq_dim: file.count(&["freq_dim"])?.unwrap_or(256),
        text_dim: file.count(&["text_dim"])?.unwrap_or(4096),
        text_len: file.count(&["text_len"])?.unwrap_or(512),
        eps: file.number(&["eps"])?.unwrap_or(1e-6),
        cross_attn_norm: file.flag("cross_attn_norm")?.unwrap_or(true),
    };
    bounded(&sizes).map_err(|why| file.wrong(why))?;
    checked(sizes, file)
}

/// Refuses sizes that no network has.
fn bounded(sizes: &Transformer) -> Result<(), String> {
    let Transformer { in_dim, out_dim, dim, ffn_dim, freq_dim, text_dim, text_len, .. } = *sizes;
    let sizes = [
        ("in_dim", in_dim),
        ("out_dim", out_dim),
        ("dim", dim),
        ("ffn_dim", ffn_dim),
        ("freq_dim", freq_dim),
        ("text_dim", text_dim),
        ("text_len", text_len),
    ];
    let strange = sizes.into_iter().find(|(_, size)| !(1..=MAX_COUNT).contains(&(*size as u64)));
    strange.map_or(Ok(()), |(what, size)| Err(format!("{what} = {size} is no size of a DiT")))
}

fn checked(sizes: Transformer, file: &ConfigFile) -> Result<Transformer, FileError> {
    if !sizes.dim.is_multiple_of(sizes.num_heads) || !sizes.head_dim().is_multiple_of(2) {
        let why = format!("{} channels do not make {} heads of even width", sizes.dim, sizes.num_heads);
        return Err(file.wrong(why));
    }
    if sizes.num_layers > Transformer::MAX_LAYERS {
        return Err(file.wrong(format!("{} layers are more than any DiT has", sizes.num_layers)));
    }
    if !sizes.freq_dim.is_multiple_of(2) {
        return Err(file.wrong(format!("freq_dim = {} is odd", sizes.freq_dim)));
    }
    Ok(sizes)
}

/// The head count: shapes do not tell it.
fn heads(file: &ConfigFile, dim: usize) -> Result<usize, FileError> {
    match file.count(&["num_heads", "num_attention_heads"])? {
        Some(heads) => Ok(heads),
        None if dim.is_multiple_of(HEAD_DIM) && dim > 0 => Ok(dim / HEAD_DIM),
        None => Err(file.wrong(format!(
            "the number of heads of a model with {dim} channels is not known; put a config.json with num_heads here"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::names::Naming;

    /// The tensors of a published file. In the data, `*` stands for the number of each of the layers.
    #[derive(serde::Deserialize)]
    struct Header {
        parameters: u64,
        layers: usize,
        tensors: BTreeMap<String, Vec<usize>>,
    }

    /// Official name → shape of every tensor.
    fn tensors(header: &str) -> BTreeMap<String, Vec<usize>> {
        let Header { parameters, layers, tensors } = serde_json::from_str(header).unwrap();
        let of_layers = |(name, shape): (String, Vec<usize>)| {
            let layers = if name.contains('*') { layers } else { 1 };
            (0..layers).map(move |i| (name.replace('*', &i.to_string()), shape.clone())).collect::<Vec<_>>()
        };
        let tensors: BTreeMap<_, _> = tensors.into_iter().flat_map(of_layers).collect();
        let count = |shape: &Vec<usize>| shape.iter().product::<usize>() as u64;
        assert_eq!(tensors.values().map(count).sum::<u64>(), parameters, "the data is complete");
        let naming = Naming::of(&tensors.keys().map(String::as_str).collect::<BTreeSet<_>>());
        tensors.into_iter().filter_map(|(name, shape)| Some((naming.official(&name)?, shape))).collect()
    }

    fn config(
        in_dim: usize,
        out_dim: usize,
        dim: usize,
        num_heads: usize,
        num_layers: usize,
        ffn_dim: usize,
    ) -> Transformer {
        Transformer { in_dim, out_dim, dim, num_heads, num_layers, ffn_dim, ..Transformer::T2V_A14B }
    }

    #[test]
    fn sizes_that_no_network_has_are_refused_before_anything_is_counted() {
        let (folder, config) = (tempfile::tempdir().unwrap(), ConfigFile::default());
        let path = folder.path().join("dit.safetensors");
        let read = |rows: usize, inner: usize| {
            let tensors = [
                ("patch_embedding.weight", vec![rows, inner, 1, 2, 2]),
                ("head.head.weight", vec![64, inner]),
                ("blocks.0.ffn.0.weight", vec![8, inner]),
                ("time_embedding.0.weight", vec![8, inner]),
                ("text_embedding.0.weight", vec![8, inner]),
            ];
            let bytes = vec![0; 4 * rows * inner * 4];
            let views = tensors.iter().map(|(name, shape)| {
                let bytes = &bytes[..4 * shape.iter().product::<usize>()];
                (*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
            });
            std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
            let weights = WeightFiles::open(std::slice::from_ref(&path)).unwrap();
            sizes(&weights, &config).map_err(|error| error.to_string())
        };
        assert_eq!(read(128, 16).unwrap().dim, 128);
        // Nothing of it takes a byte of the file.
        let error = read(1 << 60, 0).unwrap_err();
        assert!(error.contains("dit.safetensors") && error.contains("in_dim = 0 is no size of a DiT"), "{error}");
        let huge = Transformer { dim: usize::MAX / 4, ..Transformer::T2V_A14B };
        assert!(bounded(&huge).unwrap_err().starts_with("dim = "));
        let alone = folder.path().join("config.json");
        let text = r#"{"num_attention_heads": 16777216, "attention_head_dim": 128, "in_dim": 16, "out_dim": 16,
            "num_layers": 2, "ffn_dim": 12}"#;
        std::fs::write(&alone, text).unwrap();
        let error = sizes_in_config(&ConfigFile::read(&alone).unwrap()).unwrap_err().to_string();
        assert!(error.contains("dim = 2147483648"), "{error}");
    }

    #[test]
    fn parameters_are_the_tensors_of_the_published_files() {
        macro_rules! headers {
            ($name:literal) => {
                [
                    include_str!(concat!("../tests/data/dit-", $name, ".json")),
                    include_str!(concat!("../tests/data/diffusers-dit-", $name, ".json")),
                ]
            };
        }
        for (config, headers) in [
            (config(16, 16, 5120, 40, 40, 13_824), headers!("t2v-A14B")),
            (config(36, 16, 5120, 40, 40, 13_824), headers!("i2v-A14B")),
            (config(48, 48, 3072, 24, 30, 14_336), headers!("ti2v-5B")),
            (config(16, 16, 1536, 12, 30, 8960), headers!("t2v-1.3B")),
        ] {
            let params: BTreeMap<_, _> = parameters(&config).into_iter().map(|p| (p.name, p.shape)).collect();
            assert_eq!(params.len(), parameters(&config).len(), "no name twice");
            for header in headers {
                assert_eq!(tensors(header), params);
            }
        }
    }
}
