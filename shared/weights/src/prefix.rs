//! What programs put before the names of a network's tensors, taken off in one place for every format and role; and
//! files that hold several networks, told by several such prefixes.
//!
//! Source: ComfyUI `comfy/model_detection.py` `unet_prefix_from_state_dict` and `comfy/supported_models_base.py`
//! `vae_key_prefix`, `text_encoder_key_prefix`; the others are those of PyTorch's wrappers.

use std::collections::BTreeSet;

/// Prefixes, and the network that each says its tensors are. The first that fits is meant.
const PREFIXES: [(&str, Option<&str>); 12] = [
    ("model.diffusion_model.", Some(TRANSFORMER)),
    ("diffusion_model.", Some(TRANSFORMER)),
    ("transformer.", Some(TRANSFORMER)),
    ("first_stage_model.", Some(AUTOENCODER)),
    ("vae.", Some(AUTOENCODER)),
    ("text_encoders.", Some(TEXT_ENCODER)),
    ("text_encoder.", Some(TEXT_ENCODER)),
    ("cond_stage_model.", Some(TEXT_ENCODER)),
    ("conditioner.", Some(TEXT_ENCODER)),
    ("model.", None),
    ("module.", None),
    ("_orig_mod.", None),
];
const TRANSFORMER: &str = "a transformer";
const AUTOENCODER: &str = "an autoencoder";
const TEXT_ENCODER: &str = "a text encoder";
/// More prefixes than wrappers put before a name, one before the other: a name that is nothing else would take the square of
/// its length.
const DEEPEST: usize = 8;

/// What these names begin with, where it is known and there is only one such; empty otherwise.
///
/// # Errors
/// The networks that the names belong to, if they are several.
pub(crate) fn common<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<String, Vec<&'static str>> {
    let mut common = String::new();
    for _ in 0..DEEPEST {
        let rest = names.clone().filter_map(|name| name.strip_prefix(common.as_str()));
        let found = rest.filter_map(|name| PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)));
        let found: BTreeSet<_> = found.collect();
        let networks: BTreeSet<&str> = found.iter().filter_map(|(_, network)| *network).collect();
        if networks.len() > 1 {
            return Err(networks.into_iter().collect());
        }
        match found.first() {
            Some((prefix, _)) if found.len() == 1 => common.push_str(prefix),
            _ => break,
        }
    }
    Ok(common)
}

/// A name without such a prefix.
pub(crate) fn bare<'a>(prefix: &str, name: &'a str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&'static str]) -> Result<String, Vec<&'static str>> {
        common(names.iter().copied())
    }

    #[test]
    fn what_stands_before_all_names_is_found() {
        for prefix in
            ["model.diffusion_model.", "diffusion_model.", "model.", "vae.", "first_stage_model.", "module.vae."]
        {
            let names: Vec<String> = ["conv1.weight", "head.bias"].map(|name| format!("{prefix}{name}")).into();
            // What else lies in such files has no prefix.
            let names = names.iter().map(String::as_str).chain(["scaled_fp8", "spiece_model"]);
            assert_eq!(common(names), Ok(prefix.to_owned()));
        }
        assert_eq!(of(&["encoder.block.0.weight", "encoder.final_layer_norm.weight"]), Ok(String::new()));
        assert_eq!(of(&["blocks.0.modulation", "head.modulation"]), Ok(String::new()));
    }

    #[test]
    fn a_name_of_nothing_but_prefixes_takes_no_longer_than_others() {
        let name = "model.".repeat(1 << 10);
        assert_eq!(common([name.as_str()].into_iter()), Ok("model.".repeat(DEEPEST)));
    }

    #[test]
    fn several_networks_in_one_file_are_told() {
        let names = ["model.diffusion_model.head.bias", "first_stage_model.conv1.bias", "text_encoders.umt5xxl.norm"];
        assert_eq!(of(&names), Err(vec![TEXT_ENCODER, TRANSFORMER, AUTOENCODER]));
        assert_eq!(of(&names[..2]), Err(vec![TRANSFORMER, AUTOENCODER]));
        assert_eq!(of(&["vae.conv1.bias", "first_stage_model.conv1.bias"]), Ok(String::new()), "which is meant?");
    }
}
