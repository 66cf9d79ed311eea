//! Whether the networks of a model belong together: each can be whole, and the model render noise, or nothing, for all
//! that. Told by the headers of whatever files are here; a machine need not hold all of them.
//!
//! Not here: whether a network's own tensors are whole (`Parts::check`).

use wanfarm_types::{Role, Transformer, VaeKind};

use super::info::geometry;
use super::parts::{Part, Parts};
use crate::umt5;
use crate::vae::VaeConfig;
use wanfarm_weights::FileError;
use wanfarm_weights::WeightFiles;
use wanfarm_weights::transformer;

/// A network's sizes, and the file that tells them.
struct Known<T> {
    file: String,
    sizes: T,
    /// They are read off its tensors, and so all of them are known.
    read: bool,
}

/// Checks every network that is here against the others. What cannot be read says nothing here.
///
/// # Errors
/// Every two that do not fit, with their files and numbers.
pub(super) fn check(parts: &Parts) -> Result<(), FileError> {
    let of = |role| parts.parts.get(&role);
    let transformers = [Role::DitHigh, Role::DitLow, Role::Dit];
    let transformers: Vec<_> = transformers.into_iter().filter_map(|role| transformer(of(role)?)).collect();
    let mut why = Vec::new();
    if let [high, low] = &*transformers {
        why.extend(experts(high, low));
    }
    // The experts are alike, or were found not to be.
    if let Some(transformer) = transformers.first() {
        why.extend(of(Role::Vae).and_then(autoencoder).and_then(|vae| latents(transformer, &vae)));
        why.extend(of(Role::TextEncoder).and_then(text_encoder).and_then(|encoder| texts(transformer, &encoder)));
    }
    if why.is_empty() {
        return Ok(());
    }
    Err(FileError::Mixed { folder: parts.folder().to_owned(), why: why.join("; ") })
}

fn read<T>(part: &Part, sizes: impl FnOnce(&WeightFiles) -> Result<T, FileError>) -> Option<Known<T>> {
    let weights = part.open().ok().filter(|_| !part.weights.is_empty())?;
    Some(Known { sizes: sizes(&weights).ok()?, file: weights.place(), read: true })
}

fn transformer(part: &Part) -> Option<Known<Transformer>> {
    if part.weights.is_empty() {
        let sizes = transformer::sizes_in_config(&part.config).ok()?;
        return Some(Known { sizes, file: part.config.path().display().to_string(), read: false });
    }
    read(part, |weights| transformer::sizes(weights, &part.config))
}

fn autoencoder(part: &Part) -> Option<Known<VaeConfig>> {
    read(part, |weights| VaeConfig::from_weights(weights, None))
}

fn text_encoder(part: &Part) -> Option<Known<umt5::Config>> {
    read(part, umt5::Config::from_weights)
}

fn experts(high: &Known<Transformer>, low: &Known<Transformer>) -> Option<String> {
    let (a, b) = (&high.sizes, &low.sizes);
    let mut sizes = vec![
        ("input channels", a.in_dim, b.in_dim),
        ("output channels", a.out_dim, b.out_dim),
        ("blocks", a.num_layers, b.num_layers),
        ("channels of a token", a.dim, b.dim),
        ("attention heads", a.num_heads, b.num_heads),
        ("channels inside the feed-forward layers", a.ffn_dim, b.ffn_dim),
    ];
    if high.read && low.read {
        sizes.push(("channels of the timestep", a.freq_dim, b.freq_dim));
        sizes.push(("features of a text row", a.text_dim, b.text_dim));
    }
    let differ = sizes.iter().filter(|(_, high, low)| high != low);
    let differ: Vec<String> = differ.map(|(what, high, low)| format!("{high} and {low} {what}")).collect();
    let remark = match (a.in_dim, b.in_dim) {
        (36, 16) | (16, 36) => ": one is of an image-to-video model, the other of a text-to-video model",
        _ => "",
    };
    let text = format!(
        "{} and {} are not the two experts of one model, with {}{remark}; use both of the same",
        high.file,
        low.file,
        differ.join(", ")
    );
    (!differ.is_empty()).then_some(text)
}

fn latents(transformer: &Known<Transformer>, vae: &Known<VaeConfig>) -> Option<String> {
    let wanted = transformer.sizes.vae();
    let geometry = geometry(wanted);
    let sizes = [
        ("channels", vae.sizes.z, transformer.sizes.out_dim),
        ("pixels to a latent pixel, along a side,", vae.sizes.stride_hw(), geometry.stride_hw as usize),
        ("frames to a latent frame", vae.sizes.stride_t(), geometry.stride_t as usize),
    ];
    let (what, has, needs) = sizes.into_iter().find(|(_, has, needs)| has != needs)?;
    let name = match wanted {
        VaeKind::Wan21 => "Wan2.1",
        VaeKind::Wan22 => "Wan2.2",
    };
    let (vae, transformer) = (&vae.file, &transformer.file);
    Some(format!("{vae} makes latents with {has} {what} and {transformer} needs {needs}; use the VAE of {name}"))
}

fn texts(transformer: &Known<Transformer>, encoder: &Known<umt5::Config>) -> Option<String> {
    let (has, needs) = (encoder.sizes.dim, transformer.sizes.text_dim);
    let (encoder, by) = (&encoder.file, &transformer.file);
    (transformer.read && has != needs).then(|| {
        format!("{encoder} makes text rows of {has} features and {by} needs {needs}; use the text encoder of the model")
    })
}
