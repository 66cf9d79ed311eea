//! What holds of all weights that could be opened, whatever their file.

use candle_core::{DType, Device};
use wanfarm_model::Weights;
use wanfarm_weights::{Encoding, Factors};

/// Tensors of more numbers are not read.
const MAX_READ: usize = 1 << 16;

/// Asserts that every tensor lies in its file and is as long as its shape says, and that its numbers can be read or are
/// refused.
pub fn check(weights: &Weights) {
    let files = weights.files();
    for name in files.names() {
        let (file, entry) = files.entry(name).expect("what is named is there");
        let bytes = file.bytes(entry.bytes.clone()).expect("a tensor lies in its file");
        let countable = entry.shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim.max(1)));
        assert!(countable.is_some(), "{name} has strides that cannot be counted: {:?}", entry.shape);
        let numbers: usize = entry.shape.iter().product();
        assert_eq!(entry.encoding.bytes(numbers), Some(bytes.len()), "{name} {entry:?}");
        match (files.factors(name), entry.encoding) {
            (Some(Factors::Rows(rows)), _) => {
                assert!(rows.len() == 1 || Some(&rows.len()) == entry.shape.first(), "{name}: {} factors", rows.len());
                assert!(rows.iter().all(|factor| factor.is_finite()), "{name}: {rows:?}");
            }
            (Some(Factors::Groups(groups)), Encoding::Affine(affine)) => {
                for piece in [&groups.scales, &groups.biases] {
                    assert_eq!(piece.bytes().expect("factors lie in their file").len(), affine.factor_bytes(numbers));
                }
            }
            (factors, encoding) => assert!(factors.is_none() && !matches!(encoding, Encoding::Affine(_)), "{name}"),
        }
        assert!(files.bytes(name) >= bytes.len() as u64);
        if numbers <= MAX_READ {
            read(weights, name, &entry.shape);
        }
    }
    let tensors: u64 = files.dtypes().values().map(|share| share.tensors).sum();
    assert_eq!(tensors, files.names().count() as u64);
    assert_eq!(files.check(&[]).is_ok(), tensors == 0, "what nothing needs is told");
}

fn read(weights: &Weights, name: &str, shape: &[usize]) {
    for dtype in [None, Some(DType::F32), Some(DType::BF16)] {
        if let Ok(tensor) = weights.tensor(name, dtype, &Device::Cpu) {
            assert_eq!(tensor.dims(), shape, "{name}");
            assert!(dtype.is_none_or(|dtype| dtype == tensor.dtype()));
        }
    }
    if let &[rows, inner] = shape
        && rows > 0
    {
        let last = u32::try_from(rows - 1).unwrap_or(u32::MAX);
        if let Ok(picked) = weights.rows(name, &[0, last]) {
            assert_eq!(picked.dims(), [2, inner], "{name}");
        }
    }
    let _ = weights.compact(name).expect("what is named is there");
}
