//! What a transformer dispatches on a GPU: a block, and a whole forward pass.
//!
//! Source: this repository's `shared/model/src/dit`, `shared/model/src/ops`; for [`Kernels::Primitives`] the same before it
//! had kernels of its own, when every operation was one of the tensor library's.
//!
//! Matrices in blocks of GGUF are as much arithmetic: candle's kernel decodes 64 rows by 32 columns at a time on the chip, never a
//! whole matrix. But it reads and writes f32, which is 14 GB more for a block of T2V-A14B at 480p, one hundredth of its time
//! on an M3 Ultra; a kernel of our own could save that and no more.

use wanfarm_types::Transformer;

use crate::ledger::{Dispatch, Elements, Kernels, Ledger};

/// Tokens per chunk of norms, projections and feed-forward layers, at least.
pub const CHUNK: u64 = 8192;
/// Elements of the widest layer of a chunk on Apple GPUs.
const METAL_ELEMENTS: u64 = 1 << 29;
/// Queries per call of fused attention, at most.
pub const QUERIES: u64 = 4096;
/// Queries of a threadgroup, and queries times keys times channels per call, at most.
const TILE: u64 = 32;
const WORK: u64 = 1 << 40;

/// A forward pass over so many tokens, attending to so many rows of text.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'t> {
    /// The transformer's sizes.
    pub transformer: &'t Transformer,
    /// Tokens of the video.
    pub tokens: u64,
    /// Rows of text, padding included.
    pub text: u64,
    /// Type of the products' operands.
    pub elements: Elements,
}

impl Pass<'_> {
    /// The whole pass: the first layer, the blocks, the head.
    pub fn forward(&self, kernels: Kernels) -> Ledger {
        let Transformer { in_dim, out_dim, dim, num_layers, .. } = *self.transformer;
        let (tokens, dim) = (self.tokens as f64, dim as f64);
        let (input, output) = (4. * in_dim as f64, 4. * out_dim as f64);
        let [chunks, ..] = self.counts(kernels);
        let mut ledger = Ledger::default();
        ledger += Dispatch::product("patches", Elements::F32, chunks, [tokens, dim, input]);
        ledger += self.block(kernels).times(num_layers as u64);
        ledger += Dispatch::pass("norm and modulation of the head", chunks, 4. * tokens * dim, 4. * tokens * dim);
        ledger += Dispatch::product("head", Elements::F32, chunks, [tokens, output, dim]);
        ledger
    }

    /// One block.
    pub fn block(&self, kernels: Kernels) -> Ledger {
        match kernels {
            Kernels::Primitives => self.primitives(),
            Kernels::Current => self.current(),
            Kernels::Floor => self.floor(),
        }
    }

    /// Elements of the tokens: tokens times channels.
    fn size(&self) -> f64 {
        self.tokens as f64 * self.transformer.dim as f64
    }

    /// Chunks of tokens, calls of self-attention, and of cross-attention.
    fn counts(&self, kernels: Kernels) -> [u64; 3] {
        let chunk = match kernels {
            Kernels::Primitives => CHUNK,
            Kernels::Current | Kernels::Floor => (METAL_ELEMENTS / self.transformer.ffn_dim as u64).max(CHUNK),
        };
        let chunks = self.tokens.div_ceil(chunk);
        let calls = |queries: u64, keys: u64| {
            let tiles = WORK / (keys * self.transformer.dim as u64 * TILE).max(1);
            let bounded = if kernels == Kernels::Primitives { QUERIES } else { QUERIES.min(tiles.max(1) * TILE) };
            queries.div_ceil(bounded)
        };
        [chunks, calls(self.tokens, self.tokens), chunks * calls(self.tokens.min(chunk), self.text)]
    }

    /// `(tokens, input)` → `(tokens, output)`.
    fn linear(&self, name: &'static str, count: u64, output: usize, input: usize) -> Dispatch {
        Dispatch::product(name, self.elements, count, [self.tokens as f64, output as f64, input as f64])
    }

    fn self_attention(&self, count: u64) -> Dispatch {
        let (tokens, dim) = (self.tokens as f64, self.transformer.dim as f64);
        Dispatch::attention("self-attention", self.elements, count, [tokens, tokens, dim])
    }

    fn cross_attention(&self, count: u64) -> Dispatch {
        let (tokens, dim) = (self.tokens as f64, self.transformer.dim as f64);
        Dispatch::attention("cross-attention", self.elements, count, [tokens, self.text as f64, dim])
    }

    fn primitives(&self) -> Ledger {
        let Transformer { dim, ffn_dim, .. } = *self.transformer;
        let [chunks, calls, cross_calls] = self.counts(Kernels::Primitives);
        let many = chunks > 1;
        let wide = self.tokens as f64 * ffn_dim as f64;
        let (size, width) = (self.size(), self.elements.bytes());
        let mut ledger = Ledger::default();
        // Bytes per element of the tokens.
        let pass = |name, count, read: f64, written: f64| Dispatch::pass(name, count, read * size, written * size);
        let linear = |ledger: &mut Ledger, name, output, input| {
            let (rows_in, rows_out) =
                if input == dim { (size, if output == dim { size } else { wide }) } else { (wide, size) };
            *ledger += self.linear(name, chunks, output, input);
            if self.elements != Elements::F32 {
                *ledger += Dispatch::pass("cast to the product", chunks, 4. * rows_in, width * rows_in);
                *ledger += Dispatch::pass("cast of the product", chunks, width * rows_out, 4. * rows_out);
            }
            *ledger += Dispatch::pass("bias", chunks, 4. * rows_out, 4. * rows_out);
        };
        let norm = |ledger: &mut Ledger, modulation: u64| {
            *ledger += pass("layer norm", 9 * chunks, 20., 12.);
            *ledger += pass("modulation", modulation * chunks, 8., 8.);
        };
        let attend = |ledger: &mut Ledger, attention: Dispatch, fills| {
            let calls = attention.count;
            *ledger += pass("queries scaled", calls, 4., 4.);
            *ledger += pass("queries cast", calls, 4., width);
            *ledger += attention;
            *ledger += pass("cast of attention", calls, width, 4.);
            *ledger += pass("attention gathered", calls, 4., 4.);
            *ledger += pass("zeros to gather in", fills, 0., 4.);
            *ledger += Dispatch::wait(calls);
        };

        norm(&mut ledger, 5);
        for name in ["q", "k", "v"] {
            linear(&mut ledger, name, dim, dim);
        }
        ledger += pass("RMS norm of q, k", 2 * chunks, 8., 8.);
        ledger += pass("q, k, v split into heads", 3 * chunks, 12., 12.);
        ledger += pass("rotation of q, k", 2 * chunks, 8., 8.);
        ledger += pass("cast of k, v", 2 * chunks, 8., 2. * width);
        if many {
            ledger += pass("q, k, v gathered", 3 * chunks, 4. + 2. * width, 4. + 2. * width);
            ledger += pass("zeros to gather in", 3, 0., 4. + 2. * width);
        }
        attend(&mut ledger, self.self_attention(calls), 1);
        ledger += pass("heads merged", chunks, 4., 4.);
        linear(&mut ledger, "o", dim, dim);
        ledger += pass("gate and residual", 2 * chunks, 12., 8.);
        norm(&mut ledger, 2);
        linear(&mut ledger, "cross q", dim, dim);
        ledger += pass("RMS norm of cross q", chunks, 4., 4.);
        ledger += pass("cross q split into heads", chunks, 4., 4.);
        attend(&mut ledger, self.cross_attention(cross_calls), chunks);
        ledger += pass("heads merged", chunks, 4., 4.);
        linear(&mut ledger, "cross o", dim, dim);
        ledger += pass("residual", chunks, 8., 4.);
        norm(&mut ledger, 5);
        linear(&mut ledger, "ffn.0", ffn_dim, dim);
        ledger += Dispatch::pass("GELU", chunks, 4. * wide, 4. * wide);
        linear(&mut ledger, "ffn.2", dim, ffn_dim);
        ledger += pass("gate and residual", 2 * chunks, 12., 8.);
        if many {
            ledger += pass("tokens gathered", chunks, 4., 4.);
            ledger += pass("zeros to gather in", 1, 0., 4.);
        }
        ledger += Dispatch::wait(1);
        ledger
    }

    fn current(&self) -> Ledger {
        let Transformer { dim, ffn_dim, .. } = *self.transformer;
        let [chunks, calls, cross_calls] = self.counts(Kernels::Current);
        let wide = self.tokens as f64 * ffn_dim as f64;
        let (size, width) = (self.size(), self.elements.bytes());
        let many = chunks > 1;
        let mut ledger = Ledger::default();
        let pass = |name, count, read: f64, written: f64| Dispatch::pass(name, count, read * size, written * size);
        let modulation = 6. * 4. * dim as f64;
        ledger += Dispatch::pass("modulation of the time", 1, 2. * modulation, modulation);
        ledger += pass("norm, modulation, cast", chunks, 4., width);
        for (product, heads) in [("q", "q: bias, norm, rotation, heads"), ("k", "k: bias, norm, rotation, heads")] {
            ledger += self.linear(product, chunks, dim, dim);
            ledger +=
                pass(heads, chunks, width, width).reading(4. * self.tokens as f64 * self.transformer.head_dim() as f64);
        }
        ledger += self.linear("v", chunks, dim, dim);
        ledger += pass("v: bias, heads", chunks, width, width);
        if many {
            ledger += pass("q, k, v gathered", 3 * chunks, 3. * width, 3. * width);
            ledger += pass("zeros to gather in", 3, 0., 3. * width);
        }
        ledger += self.self_attention(calls);
        ledger += self.linear("o", chunks, dim, dim);
        ledger += pass("bias, gate, residual", chunks, 4. + width, 4.);
        ledger += pass("norm3, cast", chunks, 4., width);
        ledger += self.linear("cross q", chunks, dim, dim);
        ledger += pass("cross q: bias, norm, heads", chunks, width, width);
        ledger += self.cross_attention(cross_calls);
        ledger += self.linear("cross o", chunks, dim, dim);
        ledger += pass("bias, residual", chunks, 4. + width, 4.);
        ledger += pass("norm, modulation, cast", chunks, 4., width);
        ledger += self.linear("ffn.0", chunks, ffn_dim, dim);
        ledger += Dispatch::pass("bias, GELU, cast", chunks, width * wide, width * wide);
        ledger += self.linear("ffn.2", chunks, dim, ffn_dim);
        ledger += pass("bias, gate, residual", chunks, 4. + width, 4.);
        if many {
            ledger += pass("tokens gathered", chunks, 4., 4.);
            ledger += pass("zeros to gather in", 1, 0., 4.);
        }
        ledger
    }

    /// Norms need whole rows, and so stay passes of their own; everything else is the beginning or end of a product.
    fn floor(&self) -> Ledger {
        let Transformer { dim, ffn_dim, .. } = *self.transformer;
        let (size, width) = (self.size(), self.elements.bytes());
        let norm = || Dispatch::pass("norm, modulation, cast", 1, 4. * size, width * size);
        // The sum with the tokens is the end of the product.
        let residual = |linear: Dispatch| linear.reading(4. * size).into_f32();
        let mut ledger = Ledger::default();
        ledger += norm();
        ledger += self.linear("q, k, v and heads", 1, 3 * dim, dim);
        ledger += self.self_attention(1);
        ledger += residual(self.linear("o and residual", 1, dim, dim));
        ledger += norm();
        ledger += self.linear("cross q and heads", 1, dim, dim);
        ledger += self.cross_attention(1);
        ledger += residual(self.linear("cross o and residual", 1, dim, dim));
        ledger += norm();
        ledger += self.linear("ffn.0 and GELU", 1, ffn_dim, dim);
        ledger += residual(self.linear("ffn.2 and residual", 1, dim, ffn_dim));
        ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::PUBLISHED;
    use wanfarm_types::Transformer;

    fn pass(tokens: u64) -> Pass<'static> {
        Pass { transformer: &Transformer::T2V_A14B, tokens, text: 512, elements: Elements::Bf16 }
    }

    const SIZES: [u64; 2] = [32_760, 75_600];

    #[test]
    fn sizes_have_as_many_tokens_as_the_geometry_says() {
        let a14b = PUBLISHED[2];
        assert_eq!(a14b.sizes.iter().map(|(_, size)| a14b.tokens(*size)).collect::<Vec<_>>(), SIZES);
        let five = PUBLISHED[1];
        assert_eq!(five.tokens(five.sizes[0].1), 31 * 40 * 22);
    }

    #[test]
    fn a_forward_pass_is_as_much_arithmetic_whatever_the_kernels() {
        for (tokens, petaflops) in [(SIZES[0], 1.68), (SIZES[1], 6.52)] {
            for kernels in [Kernels::Primitives, Kernels::Current, Kernels::Floor] {
                let flops = pass(tokens).forward(kernels).flops() / 1e15;
                assert!((flops - petaflops).abs() < 0.005, "{tokens} tokens: {flops} PFLOP with {kernels:?}");
            }
        }
    }

    #[test]
    fn primitives_took_464_launches_and_17_waits_for_616_bytes_of_a_channel() {
        // A fill of the buffer that attention is gathered in makes 465.
        for (tokens, launches, waits) in [(SIZES[0], 465, 17), (SIZES[1], 1150, 40)] {
            let block = pass(tokens).block(Kernels::Primitives);
            assert_eq!((block.dispatches(), block.waits()), (launches, waits));
            let attention = block.of(|kind| matches!(kind, crate::Kind::Attention(_)));
            let written: f64 = attention.0.iter().map(|dispatch| dispatch.written).sum();
            let bytes = (block.passes().bytes() + written) / (tokens as f64 * 5120.);
            assert!((bytes - 615.6).abs() < 0.1, "{bytes}");
        }
    }

    #[test]
    fn nothing_is_below_the_floor() {
        for published in PUBLISHED {
            for tokens in [1, 100, 4097, 8193, 32_760, 75_600] {
                for elements in [Elements::F32, Elements::Bf16] {
                    let pass = Pass { transformer: &published.transformer, tokens, text: 512, elements };
                    let [primitives, current, floor] =
                        [Kernels::Primitives, Kernels::Current, Kernels::Floor].map(|kernels| pass.block(kernels));
                    assert!(floor.bytes() <= current.bytes() && current.bytes() <= primitives.bytes());
                    assert!(floor.dispatches() <= current.dispatches());
                    assert!(current.dispatches() <= primitives.dispatches());
                }
            }
        }
    }
}
