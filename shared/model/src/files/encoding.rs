//! How the numbers of a tensor are stored: one after the other in a plain type, or in the blocks of GGUF. What no
//! network here can read is refused by name: to a loader that looks at shapes alone, such weights would be missing and
//! unexpected tensors by the hundred.
//!
//! Not here: turning them into f32 (`decode`).

use candle_core::quantized::GgmlDType;
use safetensors::Dtype;

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// One after the other.
    Plain(Dtype),
    /// Blocks of small integers with common scales.
    Blocks(GgmlDType),
}

impl Encoding {
    /// Its name in tables, as the formats call it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Plain(dtype) => format!("{dtype:?}").to_lowercase(),
            Self::Blocks(dtype) => {
                let name = format!("{dtype:?}").to_lowercase();
                // candle writes Q4K what GGUF calls Q4_K.
                if name.ends_with('k') { name.replace('k', "_k") } else { name }
            }
        }
    }

    /// Numbers that are stored together.
    pub(crate) fn block(self) -> usize {
        match self {
            Self::Plain(_) => 1,
            Self::Blocks(dtype) => dtype.block_size(),
        }
    }

    /// Bytes of so many numbers; `None` if they make no whole blocks, or are more than can be addressed.
    pub(crate) fn bytes(self, numbers: usize) -> Option<usize> {
        match self {
            Self::Plain(dtype) => numbers.checked_mul(dtype.bitsize())?.checked_div(8),
            Self::Blocks(dtype) if numbers.is_multiple_of(dtype.block_size()) => {
                (numbers / dtype.block_size()).checked_mul(dtype.type_size())
            }
            Self::Blocks(_) => None,
        }
    }

    /// Whether a network can be computed from such numbers.
    pub(crate) fn is_weight(self) -> bool {
        self.is_compact() || matches!(self, Self::Plain(Dtype::F32 | Dtype::F16 | Dtype::BF16))
    }

    /// Whether they take less room than the types that products are computed in.
    pub(crate) fn is_compact(self) -> bool {
        matches!(self, Self::Blocks(_) | Self::Plain(Dtype::F8_E4M3 | Dtype::F8_E5M2))
    }
}

/// Why these tensors cannot be used, if they are encoded in a way that is not known: what was met, and what to use
/// instead.
pub(crate) fn refused<'a>(mut tensors: impl Iterator<Item = (&'a str, Encoding)>) -> Option<(String, &'static str)> {
    tensors.find_map(|(name, encoding)| {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".scales", ".biases"]) {
            return Some((format!("weights quantised by MLX ({name})"), "convert the model without quantising it"));
        }
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
        assert_eq!(what("b.scales", Dtype::BF16).unwrap(), "weights quantised by MLX (b.scales)");
        assert_eq!(what("b.weight_scale_2", Dtype::F32).unwrap(), "weights of four bits (b.weight_scale_2)");
        assert_eq!(what("b.weight", Dtype::F8_E8M0).unwrap(), "weights stored as f8_e8m0 (b.weight)");
        assert_eq!(what("b.scale_shift_table", Dtype::BF16), None);
        assert_eq!(what("b.weight", Dtype::F8_E4M3), None);
    }

    #[test]
    fn sizes_are_those_of_the_formats() {
        for (dtype, name, bytes) in [
            (GgmlDType::Q8_0, "q8_0", 34 * 8),
            (GgmlDType::Q6K, "q6_k", 210),
            (GgmlDType::Q5K, "q5_k", 176),
            (GgmlDType::Q4K, "q4_k", 144),
            (GgmlDType::Q4_0, "q4_0", 18 * 8),
        ] {
            assert_eq!(
                (Encoding::Blocks(dtype).name().as_str(), Encoding::Blocks(dtype).bytes(256)),
                (name, Some(bytes))
            );
            assert_eq!(Encoding::Blocks(dtype).bytes(100), None, "no whole blocks");
        }
        assert_eq!(Encoding::Plain(Dtype::F8_E4M3).bytes(3), Some(3));
        assert_eq!(Encoding::Plain(Dtype::F32).bytes(usize::MAX), None);
    }
}
