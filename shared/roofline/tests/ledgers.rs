//! The dispatches of a block as they are counted, so that a change of kernels shows in a review; and the operator's guide.

use wanfarm_roofline::dit::Pass;
use wanfarm_roofline::{Elements, Kernels, Ledger, expected, umt5};
use wanfarm_types::Transformer;

fn block(tokens: u64, kernels: Kernels) -> String {
    Pass { transformer: &Transformer::T2V_A14B, tokens, text: 512, elements: Elements::Bf16 }.block(kernels).to_string()
}

#[test]
fn a_block_at_480p() {
    insta::assert_snapshot!("primitives_480p", block(32_760, Kernels::Primitives));
    insta::assert_snapshot!("current_480p", block(32_760, Kernels::Current));
    insta::assert_snapshot!("floor_480p", block(32_760, Kernels::Floor));
}

#[test]
fn a_block_at_720p() {
    insta::assert_snapshot!("primitives_720p", block(75_600, Kernels::Primitives));
    insta::assert_snapshot!("current_720p", block(75_600, Kernels::Current));
    insta::assert_snapshot!("floor_720p", block(75_600, Kernels::Floor));
}

/// A number of `tests/metal/budget.toml`, which the emulated device counts.
fn budget(section: &str, key: &str) -> u64 {
    let budget = include_str!("../../../tests/metal/budget.toml");
    let lines = budget.lines().skip_while(|line| *line != format!("[{section}]"));
    let number = lines.filter_map(|line| line.split_once(" = ")).find(|(name, _)| *name == key);
    number.and_then(|(_, number)| number.parse().ok()).expect(key)
}

/// Products, attention, all else, and waits.
fn counts(ledger: &Ledger) -> [u64; 4] {
    let products = ledger.products().dispatches();
    let other = ledger.passes().dispatches();
    [products, ledger.dispatches() - products - other, other, ledger.waits()]
}

#[test]
fn the_emulated_device_counts_as_much() {
    let counted = |section: &str| ["products", "attention", "other", "waits"].map(|key| budget(section, key));
    let pass = Pass { transformer: &Transformer::T2V_A14B, tokens: 64, text: 512, elements: Elements::Bf16 };
    assert_eq!(counts(&pass.block(Kernels::Current)), counted("dit_block"));
    assert_eq!(counts(&umt5::layer(24, Kernels::Current)), counted("umt5_layer"));
}

#[test]
fn the_operators_guide_has_the_table_that_is_calculated() {
    let guide = include_str!("../../../deploy/README.md");
    let table = expected::a14b();
    assert!(guide.contains(&table), "put this into deploy/README.md:\n{table}");
}
