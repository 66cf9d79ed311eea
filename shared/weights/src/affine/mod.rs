//! Matrices that MLX quantised: of the tensors `weight` (packed), `scales` and `biases` one is made.
//!
//! How many bits a number has and how many numbers share a scale, the shapes tell wherever the rest of the network tells
//! the inputs of a matrix; there `config.json` must agree. Elsewhere it tells, or else the other matrices do. Not here:
//! turning the integers into numbers, which the model does.
//!
//! Source: mlx 0.32 `mlx.core.quantize` and `mlx/nn/layers/quantized.py`; Blaizzy/mlx-video@9efdd78
//! `mlx_video/models/wan_2/convert.py` `_quantize_saved_model`.

mod inputs;
mod packed;
mod said;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config_file::ConfigFile;
use crate::encoding::Encoding;
use crate::entry::{Entry, Stored};
use crate::error::FileError;
use crate::factors::Groups;
use crate::mapped::MappedFile;
use packed::Packed;
use said::Said;

/// Gives each packed matrix the shape and encoding of what it stands for, and takes its scales and biases out of the
/// tensors: official name of the matrix → these.
///
/// # Errors
/// Three tensors that make no matrix, or another than the network or `config` says.
pub(crate) fn take(
    tensors: &mut BTreeMap<String, Stored>,
    files: &[Arc<MappedFile>],
    config: &ConfigFile,
) -> Result<BTreeMap<String, Groups>, FileError> {
    let layer = |name: &String| Some(name.strip_suffix(".scales").or(name.strip_suffix(".biases"))?.to_owned());
    let layers: BTreeSet<String> = tensors.keys().filter_map(layer).collect();
    let mut matrices = Vec::new();
    for layer in layers {
        let matrix = Packed::take(&layer, tensors, files)?;
        let rows = |name: &str| tensors.get(name).and_then(|tensor| tensor.entry.shape.first().copied());
        let ways = matrix.ways(inputs::of(&matrix.name, rows), &Said::of(config, matrix.path())?)?;
        matrices.push((matrix, ways));
    }
    // MLX quantises a whole network alike unless it is told otherwise: what is not clear is as the rest is.
    let sure = matrices.iter().filter_map(|(_, ways)| if let [way] = &**ways { Some(*way) } else { None });
    let sure: Vec<_> = sure.collect();
    let mut groups = BTreeMap::new();
    for (matrix, mut ways) in matrices {
        if ways.len() > 1 {
            ways.retain(|way| sure.iter().any(|sure| (sure.bits, sure.group) == (way.bits, way.group)));
        }
        let &[way] = &*ways else { return Err(matrix.unclear()) };
        let Some(stored) = tensors.get_mut(&matrix.name) else { continue };
        let entry =
            Entry::new(Encoding::Affine(way), vec![matrix.rows, matrix.inputs(way)], stored.entry.bytes.clone());
        stored.entry = entry.map_err(|why| matrix.wrong(why))?;
        groups.insert(matrix.name, matrix.groups);
    }
    Ok(groups)
}
