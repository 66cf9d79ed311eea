//! What the text encoder costs: UMT5-XXL, in f32, its layers passing through the device one by one.
//!
//! Source: this repository's `shared/model/src/umt5/encoder.rs`; sizes: Wan2.2@42bf4cf `wan/modules/t5.py` `umt5_xxl`.

use crate::ledger::{Dispatch, Elements, Kernels, Kind, Ledger};

/// Features of a token, features inside the feed-forward layers, and layers.
const DIM: f64 = 4096.;
const FFN: f64 = 10_240.;
const HEADS: f64 = 64.;
/// Layers of the encoder.
pub const LAYERS: u64 = 24;
/// Matrix elements of a layer.
const WEIGHTS: f64 = 4. * DIM * DIM + 3. * DIM * FFN;

/// One layer over a prompt of so many tokens.
pub fn layer(tokens: u64, kernels: Kernels) -> Ledger {
    let tokens = tokens as f64;
    let (size, wide, scores) = (tokens * DIM, tokens * FFN, HEADS * tokens * tokens);
    let product = |name, output, input| Dispatch::product(name, Elements::F32, 1, [tokens, output, input]);
    let pass = |name, count, read: f64, written: f64| Dispatch::pass(name, count, 4. * read, 4. * written);
    let floor = kernels == Kernels::Floor;
    let mut ledger = Ledger::default();
    // From the file's bf16 to f32 on the processor, and then to the device.
    if !floor {
        let kind = Kind::Host;
        let widened =
            Dispatch { name: "weights widened", kind, count: 1, flops: 0., read: 2. * WEIGHTS, written: 4. * WEIGHTS };
        ledger += widened;
        ledger += Dispatch { name: "weights uploaded", read: 4. * WEIGHTS, ..widened };
    }
    ledger += pass("RMS norms", 2, 2. * size, 2. * size);
    for name in ["q", "k", "v"] {
        ledger += product(name, DIM, DIM);
    }
    if floor {
        let attention = Dispatch::attention("attention", Elements::F32, 1, [tokens, tokens, DIM]);
        ledger += attention.reading(4. * scores);
    } else {
        ledger += pass("heads split and merged", 4, 4. * size, 4. * size);
        let [rows, keys] = [HEADS * tokens, tokens];
        ledger += Dispatch::product("scores", Elements::F32, 1, [rows, keys, DIM / HEADS]);
        ledger += pass("bias, scale, softmax", 6, 6. * scores, 5. * scores);
        ledger += Dispatch::product("weighted values", Elements::F32, 1, [rows, DIM / HEADS, keys]);
    }
    ledger += product("o", DIM, DIM);
    ledger += product("ffn.gate", FFN, DIM);
    ledger += product("ffn.fc1", FFN, DIM);
    if floor {
        ledger += pass("GELU and gate", 1, 2. * wide, wide);
    } else {
        ledger += pass("GELU and gate", 2, 3. * wide, 2. * wide);
    }
    ledger += product("ffn.fc2", DIM, FFN);
    ledger += pass("residuals", 2, 4. * size, 2. * size);
    ledger += Dispatch::wait(1);
    ledger
}

/// A prompt of so many tokens.
pub fn encode(tokens: u64, kernels: Kernels) -> Ledger {
    layer(tokens, kernels).times(LAYERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoders_weights_are_widened_once_for_each_prompt() {
        let ledger = encode(100, Kernels::Current);
        let widened: f64 = ledger.0.iter().filter(|line| line.name == "weights widened").map(|line| line.written).sum();
        assert!((widened / 1e9 - 18.5).abs() < 0.1, "{widened}");
        // Two operations of each weight for each token.
        let products = 2. * WEIGHTS * LAYERS as f64 * 100.;
        assert!((ledger.flops() / products - 1.).abs() < 0.01, "{}", ledger.flops());
        assert!(encode(100, Kernels::Floor).bytes() < ledger.bytes());
    }
}
