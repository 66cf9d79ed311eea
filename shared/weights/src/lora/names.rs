//! What a key of a LoRA file means: which tensor of the network, and which part of its difference.
//!
//! Source: diffusers@0.42 `loaders/lora_conversion_utils.py` (Wan); kohya-ss/musubi-tuner `networks/lora.py`;
//! ModelTC/LightX2V `lightx2v/utils/lora_loader.py`; peft `LoraLayer`.

use crate::names::Naming;

/// What a tensor of a LoRA file is to the tensor it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Piece {
    /// `(r, in)`: the matrix applied first.
    Down,
    /// `(out, r)`: the one applied then.
    Up,
    /// A number: the product of both counts alpha/r times.
    Alpha,
    /// The difference itself.
    Diff,
}

/// Before the names of modules, by the tool that wrote the file.
const PREFIXES: [&str; 8] = [
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer_2.",
    "transformer.",
    "pipe.dit.",
    "model.",
    "dit.",
];
/// Before kohya's names, which have underscores for dots.
const KOHYA: [&str; 2] = ["lora_unet_", "lora_transformer_"];
/// Endings, and what they make of the module's name.
const ENDINGS: [(&str, Piece, &str); 13] = [
    (".lora_A.default.weight", Piece::Down, ".weight"),
    (".lora_B.default.weight", Piece::Up, ".weight"),
    (".lora_A.weight", Piece::Down, ".weight"),
    (".lora_B.weight", Piece::Up, ".weight"),
    (".lora_down.weight", Piece::Down, ".weight"),
    (".lora_up.weight", Piece::Up, ".weight"),
    (".lora.down.weight", Piece::Down, ".weight"),
    (".lora.up.weight", Piece::Up, ".weight"),
    (".lora_B.bias", Piece::Diff, ".bias"),
    (".alpha", Piece::Alpha, ".weight"),
    (".diff", Piece::Diff, ".weight"),
    (".diff_b", Piece::Diff, ".bias"),
    (".diff_m", Piece::Diff, ".modulation"),
];
/// Parts of names that have underscores of their own, as they look after kohya's underscores have become dots.
const COMPOUNDS: [&str; 25] = [
    "norm_k_img",
    "k_img",
    "v_img",
    "img_emb",
    "add_k_proj",
    "add_v_proj",
    "image_embedder",
    "self_attn",
    "cross_attn",
    "norm_q",
    "norm_k",
    "norm_added_k",
    "to_q",
    "to_k",
    "to_v",
    "to_out",
    "patch_embedding",
    "text_embedding",
    "time_embedding",
    "time_projection",
    "condition_embedder",
    "text_embedder",
    "time_embedder",
    "time_proj",
    "proj_out",
];

/// The official name of the tensor that a key is about, and what it holds of its difference; `None` for a key of no
/// known form.
pub(super) fn meaning(key: &str) -> Option<(String, Piece)> {
    let (module, piece, tensor) =
        ENDINGS.iter().find_map(|(end, piece, tensor)| Some((key.strip_suffix(end)?, *piece, *tensor)))?;
    let module = match KOHYA.iter().find_map(|prefix| module.strip_prefix(prefix)) {
        // VideoX-Fun's root has an empty name, and one underscore more.
        Some(underscored) => dotted(underscored.trim_start_matches('_')),
        None => {
            let bare = PREFIXES.iter().fold(module, |module, prefix| module.strip_prefix(prefix).unwrap_or(module));
            bare.to_owned()
        }
    };
    let name = format!("{module}{tensor}");
    // The names of diffusers and the official ones have nothing in common but what is the same in both, and the
    // second norm of diffusers, which is the third of the official network, where the second has no weights.
    Some((Naming::DiffusersDit.official(&name).unwrap_or(name), piece))
}

/// Whether a tensor belongs to a part that only transformers for images have: those of Wan2.1's I2V models.
pub(super) fn is_of_images(name: &str) -> bool {
    const MODULES: [&str; 8] =
        ["k_img", "v_img", "norm_k_img", "img_emb", "add_k_proj", "add_v_proj", "norm_added_k", "image_embedder"];
    name.split('.').any(|part| MODULES.contains(&part))
}

/// Why a file is no LoRA, by the keys that are of no known form. `alone`: it has no others.
pub(super) fn foreign(alone: bool, keys: &[String]) -> Option<String> {
    const READ: &str = "adapters are read as pairs of matrices (A and B, or down and up) and as plain differences";
    const KINDS: [(&str, &str); 8] = [
        ("dora_scale", "DoRA"),
        ("lora_magnitude_vector", "DoRA"),
        ("hada_", "LoHa"),
        ("lokr_", "LoKr"),
        ("oft_", "OFT"),
        ("lora_mid", "LoRA of three matrices"),
        ("_loras.", "Stand-In"),
        ("ia3_", "IA3"),
    ];
    if keys.is_empty() {
        return alone.then(|| "it holds no tensors".to_owned());
    }
    if let Some((mark, kind)) = KINDS.iter().find(|(mark, _)| keys.iter().any(|key| key.contains(mark))) {
        let keys: Vec<&String> = keys.iter().filter(|key| key.contains(mark)).collect();
        return Some(format!("it is of the kind {kind} ({}), which is not read: {READ}", few(&keys)));
    }
    if alone && keys.iter().any(|key| key.ends_with(".weight")) {
        return Some(format!("it holds the weights of a model ({}), no adapters", few(keys)));
    }
    Some(format!("{} tensors of no known form: {}; {READ}", keys.len(), few(keys)))
}

/// Some of many names, and how many more there are.
pub(super) fn few(names: &[impl AsRef<str>]) -> String {
    const FEW: usize = 3;
    let first: Vec<&str> = names.iter().take(FEW).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(FEW) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// A module's name with its dots.
fn dotted(underscored: &str) -> String {
    let mut name = underscored.replace('_', ".");
    for compound in COMPOUNDS {
        name = name.replace(&compound.replace('_', "."), compound);
    }
    name.replace("linear.1", "linear_1").replace("linear.2", "linear_2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_means_the_same() {
        let q = ("blocks.7.self_attn.q.weight".to_owned(), Piece::Down);
        for key in [
            "diffusion_model.blocks.7.self_attn.q.lora_A.weight",
            "diffusion_model.blocks.7.self_attn.q.lora_down.weight",
            "blocks.7.self_attn.q.lora_A.default.weight",
            "transformer.blocks.7.attn1.to_q.lora_A.weight",
            "transformer_2.blocks.7.attn1.to_q.lora_A.weight",
            "base_model.model.blocks.7.attn1.to_q.lora_A.default.weight",
            "base_model.model.diffusion_model.blocks.7.self_attn.q.lora_A.weight",
            "lora_unet_blocks_7_self_attn_q.lora_down.weight",
            "lora_unet__blocks_7_self_attn_q.lora_down.weight",
            "lora_unet_blocks_7_attn1_to_q.lora_down.weight",
        ] {
            assert_eq!(meaning(key).unwrap(), q, "{key}");
        }
    }

    #[test]
    fn names_of_every_place() {
        for (key, name, piece) in [
            ("transformer.blocks.0.ffn.net.0.proj.lora_B.weight", "blocks.0.ffn.0.weight", Piece::Up),
            ("transformer.blocks.0.attn2.to_out.0.lora_B.weight", "blocks.0.cross_attn.o.weight", Piece::Up),
            ("lora_unet_blocks_12_cross_attn_o.alpha", "blocks.12.cross_attn.o.weight", Piece::Alpha),
            ("lora_unet_blocks_0_ffn_net_0_proj.lora_up.weight", "blocks.0.ffn.0.weight", Piece::Up),
            ("lora_unet_blocks_0_ffn_2.lora_up.weight", "blocks.0.ffn.2.weight", Piece::Up),
            ("lora_unet_time_projection_1.lora_up.weight", "time_projection.1.weight", Piece::Up),
            ("lora_unet_condition_embedder_text_embedder_linear_2.alpha", "text_embedding.2.weight", Piece::Alpha),
            ("lora_unet_head_head.lora_down.weight", "head.head.weight", Piece::Down),
            ("diffusion_model.blocks.1.norm3.diff", "blocks.1.norm3.weight", Piece::Diff),
            ("diffusion_model.blocks.1.norm3.diff_b", "blocks.1.norm3.bias", Piece::Diff),
            ("transformer.blocks.1.norm2.diff", "blocks.1.norm3.weight", Piece::Diff),
            ("diffusion_model.blocks.1.self_attn.norm_q.diff", "blocks.1.self_attn.norm_q.weight", Piece::Diff),
            ("diffusion_model.blocks.1.diff_m", "blocks.1.modulation", Piece::Diff),
            ("diffusion_model.head.diff_m", "head.modulation", Piece::Diff),
            ("diffusion_model.patch_embedding.diff", "patch_embedding.weight", Piece::Diff),
            ("diffusion_model.text_embedding.0.diff_b", "text_embedding.0.bias", Piece::Diff),
        ] {
            assert_eq!(meaning(key), Some((name.to_owned(), piece)), "{key}");
        }
        assert_eq!(meaning("diffusion_model.blocks.0.ffn.0.dora_scale"), None);
        assert_eq!(meaning("lora_unet_blocks_0_ffn_0.hada_w1_a"), None);
    }
}
