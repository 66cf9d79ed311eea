//! In which order a network's convolutions are stored: `(out, in, kernel…)` as PyTorch does, or channels last,
//! `(out, kernel…, in)`, as MLX does.
//!
//! One tensor cannot always tell: `(96, 3, 3, 3, 3)` is the same both ways. So all tensors of a network are asked, and
//! those that can tell decide for all.

use crate::names::Naming;

/// Latent frames, rows and columns per token. All Wan models share it.
///
/// Source: Wan2.2@42bf4cf `wan/configs/wan_t2v_A14B.py` `patch_size`.
pub const PATCH: [usize; 3] = [1, 2, 2];
/// The kernels Wan's networks have: frames, rows, columns; or rows, columns.
const KERNELS: [&[usize]; 6] = [&[1, 1, 1], &[3, 3, 3], &[3, 1, 1], &[1, 2, 2], &[1, 1], &[3, 3]];

/// Whether the convolutions among these tensors (official name, shape as stored) are stored channels last: some can
/// only be that, and none can only be the other.
pub fn channels_last<'a>(naming: Naming, tensors: impl Iterator<Item = (&'a str, &'a [usize])>) -> bool {
    let (mut first, mut last) = (0, usize::from(naming == Naming::MlxVae));
    for (_, shape) in tensors.filter(|(name, shape)| is_convolution(name, shape)) {
        let inner = shape.len() - 1;
        match (KERNELS.contains(&&shape[2..]), KERNELS.contains(&&shape[1..inner])) {
            (true, false) => first += 1,
            (false, true) => last += 1,
            _ => {}
        }
    }
    last > 0 && first == 0
}

/// Whether a tensor is the weight of a convolution.
pub fn is_convolution(name: &str, shape: &[usize]) -> bool {
    name.ends_with(".weight") && matches!(shape.len(), 4 | 5)
}

/// Gives the weight of a transformer's patch embedding its five dimensions, `(out, in, frames, rows, columns)`, where
/// it is stored with fewer, as formats and converters that know no more than four do: a matrix over patches, or outputs
/// and inputs run together. Its bias tells the outputs.
pub fn unfold(shape: &mut Vec<usize>, outputs: usize, [t, h, w]: [usize; 3]) {
    let inner = t * h * w;
    let inputs = match **shape {
        [out, patch] if out == outputs && patch.is_multiple_of(inner) => patch / inner,
        [both, frames, rows, columns]
            if [frames, rows, columns] == [t, h, w] && outputs > 0 && both.is_multiple_of(outputs) =>
        {
            both / outputs
        }
        _ => return,
    };
    *shape = vec![outputs, inputs, t, h, w];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_patch_embedding_is_unfolded_by_its_bias() {
        let unfolded = |mut shape: Vec<usize>, outputs| {
            unfold(&mut shape, outputs, [1, 2, 2]);
            shape
        };
        for shape in [vec![2048, 1, 2, 2], vec![128, 64], vec![128, 16, 1, 2, 2]] {
            assert_eq!(unfolded(shape, 128), [128, 16, 1, 2, 2]);
        }
        for (shape, outputs) in [
            (vec![2047, 1, 2, 2], 128),
            (vec![2048, 1, 3, 2], 128),
            (vec![128, 63], 128),
            (vec![64, 128], 128),
            (vec![2, 1, 2, 2], 0),
        ] {
            assert_eq!(unfolded(shape.clone(), outputs), shape, "it is not known what this is");
        }
    }

    #[test]
    fn those_that_can_tell_decide_for_all() {
        let of = |shapes: &[&[usize]]| channels_last(Naming::Official, shapes.iter().map(|shape| ("a.weight", *shape)));
        let ambiguous: &[usize] = &[96, 3, 3, 3, 3];
        assert!(!of(&[ambiguous, &[3, 3, 3, 3], &[8, 1, 1, 1, 1]]), "PyTorch's way unless something tells otherwise");
        assert!(of(&[ambiguous, &[96, 3, 3, 3, 16]]));
        assert!(of(&[ambiguous, &[32, 1, 1, 1, 32]]));
        assert!(of(&[ambiguous, &[8, 3, 1, 1, 8], &[8, 3, 3, 8]]));
        assert!(!of(&[ambiguous, &[16, 96, 3, 3, 3]]));
        assert!(!of(&[&[96, 3, 3, 3, 16], &[16, 96, 3, 3, 3]]), "both cannot be");
        let gamma: [(&str, &[usize]); 1] = [("a.gamma", &[3, 3, 3, 8])];
        assert!(!channels_last(Naming::Official, gamma.into_iter()), "only weights are convolutions");
        assert!(channels_last(Naming::MlxVae, [("a.weight", ambiguous)].into_iter()), "names tell as well");
    }
}
