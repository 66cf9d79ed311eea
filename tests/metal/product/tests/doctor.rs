//! The product's self-test on the device, with the demo model: every operation at the sizes of real models, but for
//! attention, whose keys as many as queries would take hours here, and the rows of products with blocks; the networks, with products in bf16, as on a Mac; a
//! render. Single operations are checked in f32 and bf16.

use std::path::Path;

use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::doctor::{Examination, Outcome};

/// Beyond one tile of keys and of rows, and a multiple of none.
const LENGTH: usize = 53;

#[test]
fn passes_with_products_in_bf16_as_on_a_mac() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/demo/wan-tiny-t2v");
    let mut failed = Vec::new();
    let examination =
        Examination { model: &model, device: DeviceKind::Metal, bf16: true, length: Some(LENGTH), budget: None };
    let rendered = examination.run(&mut |finding| {
        let figure = finding.figure.map_or(String::new(), |figure| format!("{figure:.2e}"));
        println!("{:?} {:<44} {figure:>9} {:>6.2} s", finding.outcome, finding.name, finding.seconds);
        // What fills gigabytes is not done here.
        if finding.outcome != Outcome::Pass && finding.name != "rows beyond 2^31 numbers" {
            failed.push(format!("{}: {}", finding.name, finding.remark));
        }
    });
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(rendered.expect("the device").is_some(), "nothing was rendered");
}
