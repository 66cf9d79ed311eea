//! What to expect of each chip, as the table of the operator's guide.

use std::fmt::Write;

use wanfarm_types::{Transformer, VaeKind};

use crate::chip::Chip;
use crate::dit::Pass;
use crate::forecast::{Forecast, Units};
use crate::ledger::Elements;
use crate::models::Published;
use crate::vae::Way;

/// The chips of the table.
const CHIPS: [(&str, Units); 8] = [
    ("Apple M1 Max", Units::Simdgroup),
    ("Apple M1 Ultra", Units::Simdgroup),
    ("Apple M2 Ultra", Units::Simdgroup),
    ("Apple M3 Max", Units::Simdgroup),
    ("Apple M3 Ultra", Units::Simdgroup),
    ("Apple M4 Max", Units::Simdgroup),
    ("Apple M5 Max", Units::Simdgroup),
    ("Apple M5 Max", Units::Accelerators),
];

/// A table in Markdown: seconds of a step of T2V-A14B with guidance, of decoding, and of a prompt.
pub fn table(published: &Published) -> String {
    let mut table = String::from("| chip | products |");
    let sizes = published.sizes;
    for what in ["step", "decode"] {
        sizes.iter().for_each(|(name, _)| write!(table, " {what}, {name} |").unwrap_or_default());
    }
    table += " prompt |\n|---|---|";
    table += &"---|".repeat(2 * sizes.len() + 1);
    table.push('\n');
    for (name, units) in CHIPS {
        let Some(chip) = Chip::named(name) else { continue };
        let forecast = Forecast { units, ..Forecast::of(*chip) };
        let (note, tflops) = match units {
            Units::Simdgroup => ("", chip.product_tflops),
            Units::Accelerators => (", were its accelerators used", chip.accelerated_tflops.unwrap_or_default()),
        };
        let steps = sizes.iter().map(|(_, size)| {
            let tokens = published.tokens(*size);
            let (transformer, text) = (&published.transformer, published.transformer.text_len as u64);
            2. * forecast.forward(&Pass { transformer, tokens, text, elements: Elements::Bf16 })
        });
        let decodes = sizes.iter().map(|(_, [width, height, frames])| {
            let latents = [(frames - 1) / 4 + 1, height / 8, width / 8].map(u64::from);
            forecast.autoencoder(VaeKind::Wan21, Way::Decode, latents)
        });
        let cells: Vec<String> = steps.chain(decodes).chain([forecast.text()]).map(seconds).collect();
        let line = writeln!(table, "| {name}{note} | {tflops:.1} TFLOP/s | {} |", cells.join(" | "));
        line.unwrap_or_default();
    }
    table
}

/// With two digits at least.
fn seconds(seconds: f64) -> String {
    if seconds < 10. { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

/// The table for T2V-A14B.
pub fn a14b() -> String {
    let sizes = crate::models::PUBLISHED.iter().find(|published| published.transformer == Transformer::T2V_A14B);
    sizes.map(table).unwrap_or_default()
}
