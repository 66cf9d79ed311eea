//! Weights stored as something other than plain numbers, recognised by the tensors that come with them and refused by
//! name. To a loader that looks at shapes alone they would be missing and unexpected tensors by the hundred.

use safetensors::Dtype;

/// Why these tensors cannot be used, if they are encoded: what was met, and what to use instead.
pub(crate) fn refused<'a>(mut tensors: impl Iterator<Item = (&'a str, Dtype)>) -> Option<(String, &'static str)> {
    tensors.find_map(|(name, dtype)| {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if name == "scaled_fp8" || ends(&[".scale_weight", ".scale_input", ".weight_scale", ".comfy_quant"]) {
            return Some((format!("fp8-scaled weights ({name})"), "use the fp16 or bf16 file of the same model"));
        }
        if ends(&[".scales", ".biases"]) {
            return Some((format!("weights quantised by MLX ({name})"), "convert the model without quantising it"));
        }
        let fp8 = matches!(dtype, Dtype::F8_E4M3 | Dtype::F8_E5M2 | Dtype::F8_E8M0);
        fp8.then(|| (format!("fp8 weights ({name})"), "use the fp16 or bf16 file of the same model"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_weights_are_told_by_name() {
        let what = |name, dtype| refused([("a.weight", Dtype::BF16), (name, dtype)].into_iter()).map(|(what, _)| what);
        assert_eq!(what("scaled_fp8", Dtype::F32).unwrap(), "fp8-scaled weights (scaled_fp8)");
        assert_eq!(what("b.scale_weight", Dtype::F32).unwrap(), "fp8-scaled weights (b.scale_weight)");
        assert_eq!(what("b.scales", Dtype::BF16).unwrap(), "weights quantised by MLX (b.scales)");
        assert_eq!(what("b.weight", Dtype::F8_E4M3).unwrap(), "fp8 weights (b.weight)");
        assert_eq!(what("b.scale_shift_table", Dtype::BF16), None);
    }
}
