//! The dispatches of a block as they are counted, so that a change of kernels shows in a review; and the operator's guide.

use wanfarm_roofline::dit::Pass;
use wanfarm_roofline::models::T2V_A14B;
use wanfarm_roofline::{Elements, Kernels, expected};

fn block(tokens: u64, kernels: Kernels) -> String {
    Pass { transformer: &T2V_A14B, tokens, text: 512, elements: Elements::Bf16 }.block(kernels).to_string()
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

#[test]
fn the_operators_guide_has_the_table_that_is_calculated() {
    let guide = include_str!("../../../deploy/README.md");
    let table = expected::a14b();
    assert!(guide.contains(&table), "put this into deploy/README.md:\n{table}");
}
