//! Prints what is calculated: the dispatches of a block before and now and at least, and the table of the operator's guide.
//!
//! Usage: `cargo run -p wanfarm-roofline --example expected`.

use wanfarm_roofline::dit::Pass;
use wanfarm_roofline::models::PUBLISHED;
use wanfarm_roofline::{Elements, Kernels, expected};

fn main() {
    for published in PUBLISHED {
        for (name, size) in published.sizes {
            let (transformer, tokens) = (&published.transformer, published.tokens(*size));
            let pass = Pass { transformer, tokens, text: transformer.text_len as u64, elements: Elements::Bf16 };
            println!("A block of {}, {name}: {tokens} tokens", published.name);
            for kernels in [Kernels::Primitives, Kernels::Current, Kernels::Floor] {
                let (block, forward) = (pass.block(kernels), pass.forward(kernels));
                let beside = block.passes();
                println!(
                    "  {:<10} {:>5} dispatches ({} beside products and attention), {:>2} waits, {:>6.1} GB ({:>5.1} beside), {:.2} TFLOP; a pass {:.2} TB, {:.3} PFLOP",
                    format!("{kernels:?}"),
                    block.dispatches(),
                    beside.dispatches(),
                    block.waits(),
                    block.bytes() / 1e9,
                    beside.bytes() / 1e9,
                    block.flops() / 1e12,
                    forward.bytes() / 1e12,
                    forward.flops() / 1e15,
                );
            }
        }
    }
    println!("\n{}", expected::a14b());
}
