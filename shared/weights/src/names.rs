//! Official names for the tensors of diffusers, transformers, ComfyUI, llama.cpp and MLX files, so that each network is
//! written once.
//!
//! Names that are in no table stay as they are; [`Weights::check`](crate::Weights::check) then reports them.
//!
//! Source: diffusers `scripts/convert_wan_to_diffusers.py` and Blaizzy/mlx-video@9efdd78
//! `mlx_video/models/wan_2/convert.py`, `vae22.py` tell which tensor is which; gguf-py `constants.py` and
//! city96/ComfyUI-GGUF@795e451 `loader.py` those of llama.cpp.

use std::collections::BTreeSet;

/// How the tensors of a file are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// As in Wan's own files, or not known.
    Official,
    /// `WanTransformer3DModel` of diffusers.
    DiffusersDit,
    /// `AutoencoderKLWan` of diffusers: 2.1 has `flat` lists of blocks, 2.2 has lists of lists.
    DiffusersVae {
        /// Whether it is 2.1.
        flat: bool,
        /// Residual blocks before each upsampler.
        resnets: usize,
    },
    /// `UMT5EncoderModel` of transformers, which may hold its embedding under two names.
    TransformersUmt5 {
        /// Whether `shared.weight` is there, making `encoder.embed_tokens.weight` a copy.
        shared: bool,
    },
    /// A T5 encoder converted by llama.cpp.
    LlamaUmt5,
    /// A transformer converted by mlx-video.
    MlxDit,
    /// A Wan2.2 autoencoder converted by mlx-video; that of Wan2.1 keeps its names.
    MlxVae,
    /// A text encoder converted by mlx-video.
    MlxUmt5,
}

impl Naming {
    /// Recognises a naming by tensors that every file of its kind has.
    pub fn of(names: &BTreeSet<&str>) -> Self {
        if names.contains("condition_embedder.time_proj.weight") {
            return Self::DiffusersDit;
        }
        if names.contains("encoder.conv_in.weight") || names.contains("decoder.conv_in.weight") {
            let flat = !names.iter().any(|name| name.starts_with("encoder.down_blocks.0.resnets."));
            let resnet =
                |name: &str| name.strip_prefix("decoder.up_blocks.0.resnets.")?.split('.').next()?.parse().ok();
            let last: Option<usize> = names.iter().filter_map(|name| resnet(name)).max();
            return Self::DiffusersVae { flat, resnets: last.map_or(0, |last| last.saturating_add(1)) };
        }
        if names.contains("encoder.final_layer_norm.weight") {
            return Self::TransformersUmt5 { shared: names.contains("shared.weight") };
        }
        if names.contains("enc.output_norm.weight") {
            return Self::LlamaUmt5;
        }
        if names.contains("patch_embedding_proj.weight") {
            return Self::MlxDit;
        }
        if names.iter().any(|name| name.contains(".residual.layer_")) {
            return Self::MlxVae;
        }
        if names.contains("blocks.0.ffn.gate_proj.weight") {
            return Self::MlxUmt5;
        }
        Self::Official
    }

    /// The official name; `None` for a tensor that is a copy of another, or is none of the network's: the tokenizer
    /// that ComfyUI keeps in a text encoder's file.
    pub fn official(self, name: &str) -> Option<String> {
        if name == "spiece_model" {
            return None;
        }
        let parts: Vec<&str> = name.split('.').collect();
        let new = match self {
            Self::Official => None,
            Self::DiffusersDit => dit(&parts),
            Self::DiffusersVae { flat, resnets } => vae(&parts, flat, resnets),
            Self::TransformersUmt5 { shared: true } if name.starts_with("encoder.embed_tokens.") => return None,
            Self::TransformersUmt5 { .. } => umt5(&parts),
            Self::LlamaUmt5 => llama_umt5(&parts),
            Self::MlxDit => mlx_dit(&parts),
            Self::MlxVae => Some(mlx_vae(name)),
            Self::MlxUmt5 => Some(name.replace(".ffn.gate_proj.", ".ffn.gate.0.")),
        };
        Some(new.unwrap_or_else(|| name.to_owned()))
    }
}

fn dit(parts: &[&str]) -> Option<String> {
    Some(match parts {
        ["scale_shift_table"] => "head.modulation".to_owned(),
        ["proj_out", p] => format!("head.head.{p}"),
        ["condition_embedder", "time_proj", p] => format!("time_projection.1.{p}"),
        ["condition_embedder", embedder, linear, p] => {
            let embedding = match *embedder {
                "time_embedder" => "time_embedding",
                "text_embedder" => "text_embedding",
                _ => return None,
            };
            let layer = match *linear {
                "linear_1" => 0,
                "linear_2" => 2,
                _ => return None,
            };
            format!("{embedding}.{layer}.{p}")
        }
        ["blocks", i, "scale_shift_table"] => format!("blocks.{i}.modulation"),
        // The second norm of diffusers is the third of the official network.
        ["blocks", i, "norm2", p] => format!("blocks.{i}.norm3.{p}"),
        ["blocks", i, "ffn", "net", "0", "proj", p] => format!("blocks.{i}.ffn.0.{p}"),
        ["blocks", i, "ffn", "net", "2", p] => format!("blocks.{i}.ffn.2.{p}"),
        ["blocks", i, attention @ ("attn1" | "attn2"), rest @ ..] => {
            let attention = if *attention == "attn1" { "self_attn" } else { "cross_attn" };
            let tensor = match rest {
                ["to_out", "0", p] => format!("o.{p}"),
                ["to_q", p] => format!("q.{p}"),
                ["to_k", p] => format!("k.{p}"),
                ["to_v", p] => format!("v.{p}"),
                _ => rest.join("."),
            };
            format!("blocks.{i}.{attention}.{tensor}")
        }
        _ => return None,
    })
}

fn mlx_dit(parts: &[&str]) -> Option<String> {
    Some(match parts {
        ["patch_embedding_proj", p] => format!("patch_embedding.{p}"),
        ["text_embedding_0", p] => format!("text_embedding.0.{p}"),
        ["text_embedding_1", p] => format!("text_embedding.2.{p}"),
        ["time_embedding_0", p] => format!("time_embedding.0.{p}"),
        ["time_embedding_1", p] => format!("time_embedding.2.{p}"),
        ["time_projection", p] => format!("time_projection.1.{p}"),
        ["blocks", i, "ffn", "fc1", p] => format!("blocks.{i}.ffn.0.{p}"),
        ["blocks", i, "ffn", "fc2", p] => format!("blocks.{i}.ffn.2.{p}"),
        _ => return None,
    })
}

fn mlx_vae(name: &str) -> String {
    let mut name = name.replace(".residual.layer_", ".residual.").replace(".head.layer_", ".head.");
    for (ours, theirs) in [(".resample.1.", ".resample_"), (".to_qkv.", ".to_qkv_"), (".proj.", ".proj_")] {
        name = name.replace(theirs, ours);
    }
    name
}

fn vae(parts: &[&str], flat: bool, resnets: usize) -> Option<String> {
    Some(match parts {
        ["quant_conv", p] => format!("conv1.{p}"),
        ["post_quant_conv", p] => format!("conv2.{p}"),
        [side, "conv_in", p] => format!("{side}.conv1.{p}"),
        [side, "norm_out", p] => format!("{side}.head.0.{p}"),
        [side, "conv_out", p] => format!("{side}.head.2.{p}"),
        [side, "mid_block", "attentions", "0", rest @ ..] => format!("{side}.middle.1.{}", rest.join(".")),
        [side, "mid_block", "resnets", i, rest @ ..] => {
            format!("{side}.middle.{}.{}", i.parse::<usize>().ok()?.checked_mul(2)?, vae_block(rest))
        }
        ["encoder", "down_blocks", i, rest @ ..] if flat => format!("encoder.downsamples.{i}.{}", vae_block(rest)),
        ["encoder", "down_blocks", i, "resnets", j, rest @ ..] => {
            format!("encoder.downsamples.{i}.downsamples.{j}.{}", vae_block(rest))
        }
        // The encoder has one residual block less per level than the decoder.
        ["encoder", "down_blocks", i, "downsampler", rest @ ..] => {
            format!("encoder.downsamples.{i}.downsamples.{}.{}", resnets.checked_sub(1)?, rest.join("."))
        }
        ["decoder", "up_blocks", i, "resnets", j, rest @ ..] => {
            decoder_block(flat, resnets, i, j.parse().ok()?, &vae_block(rest))?
        }
        ["decoder", "up_blocks", i, "upsampler", rest @ ..]
        | ["decoder", "up_blocks", i, "upsamplers", "0", rest @ ..] => {
            decoder_block(flat, resnets, i, resnets, &rest.join("."))?
        }
        _ => return None,
    })
}

/// Block `j` of level `i`: its own list, or its place in one list over all levels.
fn decoder_block(flat: bool, resnets: usize, i: &str, j: usize, rest: &str) -> Option<String> {
    if !flat {
        return Some(format!("decoder.upsamples.{i}.upsamples.{j}.{rest}"));
    }
    let place = i.parse::<usize>().ok()?.checked_mul(resnets.checked_add(1)?)?.checked_add(j)?;
    Some(format!("decoder.upsamples.{place}.{rest}"))
}

/// A tensor of a residual block; those of resampling blocks have one name everywhere.
fn vae_block(parts: &[&str]) -> String {
    match parts {
        ["norm1", p] => format!("residual.0.{p}"),
        ["conv1", p] => format!("residual.2.{p}"),
        ["norm2", p] => format!("residual.3.{p}"),
        ["conv2", p] => format!("residual.6.{p}"),
        ["conv_shortcut", p] => format!("shortcut.{p}"),
        _ => parts.join("."),
    }
}

fn umt5(parts: &[&str]) -> Option<String> {
    Some(match parts {
        ["shared", p] | ["encoder", "embed_tokens", p] => format!("token_embedding.{p}"),
        ["encoder", "final_layer_norm", p] => format!("norm.{p}"),
        ["encoder", "block", i, "layer", layer, rest @ ..] => {
            let tensor = match (*layer, rest) {
                ("0", ["SelfAttention", "relative_attention_bias", p]) => format!("pos_embedding.embedding.{p}"),
                ("0", ["SelfAttention", tensor @ ..]) => format!("attn.{}", tensor.join(".")),
                ("0", ["layer_norm", p]) => format!("norm1.{p}"),
                ("1", ["layer_norm", p]) => format!("norm2.{p}"),
                ("1", ["DenseReluDense", "wi_0", p]) => format!("ffn.gate.0.{p}"),
                ("1", ["DenseReluDense", "wi_1", p]) => format!("ffn.fc1.{p}"),
                ("1", ["DenseReluDense", "wo", p]) => format!("ffn.fc2.{p}"),
                _ => return None,
            };
            format!("blocks.{i}.{tensor}")
        }
        _ => return None,
    })
}

fn llama_umt5(parts: &[&str]) -> Option<String> {
    Some(match parts {
        ["token_embd", p] => format!("token_embedding.{p}"),
        ["enc", "output_norm", p] => format!("norm.{p}"),
        ["enc", "blk", i, tensor, p] => {
            let tensor = match *tensor {
                "attn_norm" => "norm1",
                "attn_q" => "attn.q",
                "attn_k" => "attn.k",
                "attn_v" => "attn.v",
                "attn_o" => "attn.o",
                "attn_rel_b" => "pos_embedding.embedding",
                "ffn_norm" => "norm2",
                "ffn_gate" => "ffn.gate.0",
                "ffn_up" => "ffn.fc1",
                "ffn_down" => "ffn.fc2",
                _ => return None,
            };
            format!("blocks.{i}.{tensor}.{p}")
        }
        _ => return None,
    })
}
