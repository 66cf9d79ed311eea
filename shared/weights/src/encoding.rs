//! How the numbers of a tensor are stored: one after the other in a plain type, in the blocks of GGUF, or packed as MLX
//! does. What no network here can read is refused by name: to a loader that looks at shapes alone, such weights would be missing and
//! unexpected tensors by the hundred.
//!
//! Not here: turning them into f32 (`decode`).

use safetensors::Dtype;

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One after the other.
    Plain(Dtype),
    /// Blocks of small integers with common scales.
    Blocks(Blocks),
    /// Packed integers; scales and biases are tensors of their own.
    Affine(Affine),
}

/// A matrix `(out, in)` as MLX quantises it: in a row, each group of `group` numbers is `scale · q + bias`, with `q` of
/// `bits` bits, all of them one after the other from the lowest bit of the first byte on.
///
/// Source: mlx 0.32 `mlx.core.quantize`, mode `affine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Affine {
    /// Bits of a number.
    pub bits: usize,
    /// Numbers of a row that share a scale and a bias.
    pub group: usize,
    /// Type of scales and biases.
    pub factors: Dtype,
}

impl Affine {
    /// The bits that numbers may have.
    pub const BITS: [usize; 6] = [2, 3, 4, 5, 6, 8];
    /// The sizes that groups may have.
    pub const GROUPS: [usize; 3] = [32, 64, 128];

    /// Bytes of the scales, or of the biases, of so many numbers.
    pub fn factor_bytes(self, numbers: usize) -> usize {
        numbers / self.group * self.factors.bitsize() / 8
    }
}

/// The kinds of blocks that GGUF files hold.
#[expect(missing_docs, reason = "the names are the format's own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl Blocks {
    /// All of them.
    pub const ALL: [Blocks; 10] = {
        use Blocks::*;
        [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K]
    };

    /// The format's name, the numbers in a block, and its bytes.
    ///
    /// Source: ggml `src/ggml-common.h`.
    pub fn layout(self) -> (&'static str, usize, usize) {
        match self {
            Self::Q4_0 => ("q4_0", 32, 18),
            Self::Q4_1 => ("q4_1", 32, 20),
            Self::Q5_0 => ("q5_0", 32, 22),
            Self::Q5_1 => ("q5_1", 32, 24),
            Self::Q8_0 => ("q8_0", 32, 34),
            Self::Q2K => ("q2_k", 256, 84),
            Self::Q3K => ("q3_k", 256, 110),
            Self::Q4K => ("q4_k", 256, 144),
            Self::Q5K => ("q5_k", 256, 176),
            Self::Q6K => ("q6_k", 256, 210),
        }
    }
}

impl Encoding {
    /// Its name in tables, as the formats call it.
    pub fn name(self) -> String {
        match self {
            Self::Plain(dtype) => format!("{dtype:?}").to_lowercase(),
            Self::Blocks(blocks) => blocks.layout().0.to_owned(),
            Self::Affine(Affine { bits, group, .. }) => format!("mlx_{bits}bit_g{group}"),
        }
    }

    /// Numbers that are stored together.
    pub fn block(self) -> usize {
        match self {
            Self::Plain(_) => 1,
            Self::Blocks(blocks) => blocks.layout().1,
            Self::Affine(affine) => affine.group,
        }
    }

    /// Bytes of so many numbers, without scales and biases that are tensors of their own; `None` if they make no whole
    /// blocks, or are more than can be addressed.
    pub fn bytes(self, numbers: usize) -> Option<usize> {
        match self {
            Self::Plain(dtype) => numbers.checked_mul(dtype.bitsize())?.checked_div(8),
            Self::Blocks(blocks) => {
                let (_, count, bytes) = blocks.layout();
                numbers.is_multiple_of(count).then_some(numbers / count)?.checked_mul(bytes)
            }
            // A group is of whole bytes, whatever its bits.
            Self::Affine(Affine { bits, group, .. }) => {
                numbers.is_multiple_of(group).then_some(numbers / 8)?.checked_mul(bits)
            }
        }
    }

    /// Whether a network can be computed from such numbers.
    pub fn is_weight(self) -> bool {
        self.is_compact() || matches!(self, Self::Plain(Dtype::F32 | Dtype::F16 | Dtype::BF16))
    }

    /// Whether they take less room than the types that products are computed in.
    pub fn is_compact(self) -> bool {
        matches!(self, Self::Blocks(_) | Self::Affine(_) | Self::Plain(Dtype::F8_E4M3 | Dtype::F8_E5M2))
    }
}

/// Why these tensors cannot be used, if they are encoded in a way that is not known: what was met, and what to use
/// instead.
pub fn refused<'a>(mut tensors: impl Iterator<Item = (&'a str, Encoding)>) -> Option<(String, &'static str)> {
    tensors.find_map(|(name, encoding)| {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".weight_scale_2", ".absmax", ".quant_map", ".quant_state.bitsandbytes__nf4"]) {
            let why = "use a GGUF file, an fp8 file, or the fp16 or bf16 file of the same model";
            return Some((format!("weights of four bits ({name})"), why));
        }
        let strange = matches!(encoding, Encoding::Plain(Dtype::F8_E8M0 | Dtype::F4 | Dtype::F6_E2M3 | Dtype::F6_E3M2));
        let why = "use a GGUF file, an fp8 file (E4M3 or E5M2), or the fp16 or bf16 file of the same model";
        strange.then(|| (format!("weights stored as {} ({name})", encoding.name()), why))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_encodings_are_told_by_name() {
        let what = |name, dtype| {
            let tensors = [("a.weight", Encoding::Plain(Dtype::BF16)), (name, Encoding::Plain(dtype))];
            refused(tensors.into_iter()).map(|(what, _)| what)
        };
        assert_eq!(what("b.weight_scale_2", Dtype::F32).unwrap(), "weights of four bits (b.weight_scale_2)");
        assert_eq!(what("b.weight", Dtype::F8_E8M0).unwrap(), "weights stored as f8_e8m0 (b.weight)");
        assert_eq!(what("b.scale_shift_table", Dtype::BF16), None);
        assert_eq!(what("b.weight", Dtype::F8_E4M3), None);
    }

    #[test]
    fn sizes_are_those_of_the_formats() {
        for (blocks, bytes) in
            [(Blocks::Q8_0, 34 * 8), (Blocks::Q6K, 210), (Blocks::Q5K, 176), (Blocks::Q4K, 144), (Blocks::Q4_0, 18 * 8)]
        {
            assert_eq!(Encoding::Blocks(blocks).bytes(256), Some(bytes));
            assert_eq!(Encoding::Blocks(blocks).bytes(100), None, "no whole blocks");
        }
        assert_eq!(Encoding::Plain(Dtype::F8_E4M3).bytes(3), Some(3));
        assert_eq!(Encoding::Plain(Dtype::F32).bytes(usize::MAX), None);
        let affine = |bits, group| Encoding::Affine(Affine { bits, group, factors: Dtype::BF16 });
        assert_eq!(affine(3, 64).bytes(128), Some(48));
        assert_eq!(
            (affine(4, 64).bytes(96), affine(8, 32).bytes(usize::MAX / 32 * 32)),
            (None, Some(usize::MAX / 32 * 32))
        );
    }
}
