//! The product's self-test on the device, with the demo model: every operation at the sizes of real models, but for
//! attention, whose keys as many as queries would take hours here; the networks; a render.

use std::path::Path;

use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::doctor::{Examination, Outcome};

/// Beyond one tile of keys, and a multiple of none.
const KEYS: usize = 53;

fn examine(bf16: bool) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/demo/wan-tiny-t2v");
    let mut failed = Vec::new();
    let examination = Examination { model: &model, device: DeviceKind::Metal, bf16, keys: Some(KEYS) };
    let rendered = examination.run(&mut |finding| {
        let figure = finding.figure.map_or(String::new(), |figure| format!("{figure:.2e}"));
        println!("{:?} {:<44} {figure:>9} {:>6.2} s", finding.outcome, finding.name, finding.seconds);
        if finding.outcome != Outcome::Pass {
            failed.push(format!("{}: {}", finding.name, finding.remark));
        }
    });
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(rendered.expect("the device").is_some(), "nothing was rendered");
}

#[test]
fn passes_with_products_in_f32() {
    examine(false);
}

#[test]
fn passes_with_products_in_bf16() {
    examine(true);
}
