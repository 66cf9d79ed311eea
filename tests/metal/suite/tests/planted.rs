//! Mistakes in the use of candle, planted: each is refused by candle, or noticed by the device, or is none. What only the
//! device itself can be given wrongly is planted in its own tests.

use candle_core::{Device, Result, Tensor};
use metal_on_cpu::findings;
use suite::numbers;

/// A device of its own for each test: the command buffers of some of them fail.
fn metal() -> Result<Device> {
    Device::new_metal(0)
}

/// The greatest difference, infinite where there is a value that is not a number.
fn apart(got: &Tensor, want: &Tensor) -> Result<f32> {
    let off: Vec<f32> = (got.to_device(&Device::Cpu)? - want)?.abs()?.flatten_all()?.to_vec1()?;
    Ok(off.into_iter().fold(0., |m, v| if v.is_nan() { f32::INFINITY } else { m.max(v) }))
}

#[test]
fn an_index_out_of_bounds_is_noticed() -> Result<()> {
    let device = metal()?;
    let x = numbers((1024, 4), 1)?.to_device(&device)?;
    let ids = Tensor::full(1_000_000u32, (1, 4), &device)?;
    let got = x.gather(&ids, 0).and_then(|y| y.to_device(&Device::Cpu));
    assert!(got.is_err_and(|e| e.to_string().contains("out of bounds")));
    assert!(findings::take("out of bounds"));
    Ok(())
}

type View = fn(&Tensor) -> Result<Tensor>;

/// Views of `(3, 5, 8)` and `(3, 8, 6)` that can be multiplied.
const VIEWS: [(&str, View, View); 6] = [
    ("an expanded left batch", |x| x.narrow(0, 1, 1)?.broadcast_as((3, 5, 8)), |y| Ok(y.clone())),
    ("an expanded right batch", |x| Ok(x.clone()), |y| y.narrow(0, 1, 1)?.broadcast_as((3, 8, 6))),
    ("an offset", |x| x.narrow(0, 1, 2), |y| y.narrow(0, 1, 2)),
    ("parts of rows", |x| x.narrow(2, 2, 4), |y| y.narrow(1, 2, 4)),
    ("another order of dimensions", |x| x.transpose(0, 1), |y| y.narrow(0, 0, 1)?.broadcast_as((5, 8, 6))),
    ("columns of wider rows", |x| Ok(x.clone()), |y| y.narrow(2, 1, 3)),
];

#[test]
fn products_of_views_are_right_or_refused() -> Result<()> {
    let device = metal()?;
    let (x, y) = (numbers((3, 5, 8), 1)?, numbers((3, 8, 6), 2)?);
    for (what, of_x, of_y) in VIEWS {
        let want = of_x(&x)?.contiguous()?.matmul(&of_y(&y)?.contiguous()?)?;
        let got = of_x(&x.to_device(&device)?)?.matmul(&of_y(&y.to_device(&device)?)?);
        match got.and_then(|got| apart(&got, &want)) {
            Ok(off) => assert!(off < 1e-5, "{what}: {off}"),
            Err(e) => println!("{what}: refused, {e}"),
        }
    }
    Ok(())
}

#[test]
fn a_head_dimension_that_sdpa_does_not_know_is_refused() -> Result<()> {
    let q = numbers((1, 2, 9, 48), 1)?.to_device(&metal()?)?;
    assert!(candle_nn::ops::sdpa(&q, &q, &q, None, false, 0.1, 1.).is_err());
    Ok(())
}
