//! Networks on what MLX packs compute what they compute on the same weights as MLX decodes them (`data/packed/make.py`),
//! and little else than on the weights before they were quantised.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod numbers;

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use numbers::{apart, golden, open, stored, values, velocity};
use safetensors::{Dtype, SafeTensors};
use wanfarm_model::Weights;
use wanfarm_model::folder;
use wanfarm_model::layers::Linear;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::umt5::Umt5;
use wanfarm_tools::inspect::{Inspection, Questions, State, inspect};
use wanfarm_types::Role;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/packed").join(name)
}

#[test]
fn every_width_and_group_is_decoded_and_multiplied_as_mlx_does() {
    let (weights, mlx) = (open(data("matrices.safetensors")), data("matrices-mlx.safetensors"));
    let x = stored(&mlx, "x");
    let dtypes = weights.files().dtypes();
    for (layer, (bits, group)) in
        [2, 3, 4, 5, 6, 8].into_iter().flat_map(|bits| [32, 64, 128].map(|group| (bits, group))).enumerate()
    {
        let (layer, kind) = (format!("blocks.{layer}.self_attn.q"), format!("mlx_{bits}bit_g{group}"));
        let name = format!("{layer}.weight");
        assert_eq!(dtypes[&kind].tensors, 1, "{kind}");
        let want = stored(&mlx, &name);
        let tensor = weights.tensor(&name, Some(DType::F32), &Device::Cpu).unwrap();
        assert_eq!((tensor.dims(), values(&tensor)), (want.dims(), values(&want)), "{kind}");
        assert_eq!(
            values(&weights.rows(&name, &[2, 0]).unwrap()),
            [values(&want.get(2).unwrap()), values(&want.get(0).unwrap())].concat()
        );
        let product = |dtype| Linear::load(&weights, &layer, false, dtype, &Device::Cpu).unwrap().forward(&x).unwrap();
        let want = stored(&mlx, &format!("{layer}.product"));
        assert!(apart(&product(DType::F32), &want) < 1e-6, "{kind}: {}", apart(&product(DType::F32), &want));
        let narrow = apart(&product(DType::BF16), &want);
        assert!((1e-4..1e-2).contains(&narrow), "{kind}: products in bf16 are asked for, and are {narrow} away");
    }
}

#[test]
fn the_usual_mistakes_are_far_from_what_mlx_decodes() {
    let (bytes, mlx) = (fs::read(data("matrices.safetensors")).unwrap(), data("matrices-mlx.safetensors"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let f32s = |name: &str| {
        let tensor = file.tensor(name).unwrap();
        let floats = tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect::<Vec<_>>();
        (tensor.dtype() == Dtype::F32).then_some(floats)
    };
    let mut seen = 0;
    for layer in (0..18).map(|layer| format!("blocks.{layer}.self_attn.q")) {
        // What is stored in another type is as good.
        let Some(scales) = f32s(&format!("{layer}.scales")) else { continue };
        let biases = f32s(&format!("{layer}.biases")).unwrap();
        let packed = file.tensor(&format!("{layer}.weight")).unwrap().data();
        let want = stored(&mlx, &format!("{layer}.weight"));
        let (rows, inner) = want.dims2().unwrap();
        let (groups, bits) = (scales.len() / rows, packed.len() * 8 / (rows * inner));
        let bit = |place: usize, from_the_top: bool| {
            packed[place / 8] >> if from_the_top { 7 - place % 8 } else { place % 8 } & 1
        };
        let integer = |at: usize, from_the_top| {
            (0..bits).map(|i| u32::from(bit(at * bits + i, from_the_top)) << i).sum::<u32>() as f32
        };
        let (low, top) = (|at| integer(at, false), |at| integer(at, true));
        let own = |at: usize| at / (inner / groups);
        let transposed = |at: usize| own(at) % groups * rows + at / inner;
        let decode = |number: &dyn Fn(usize) -> f32| {
            apart(
                &Tensor::from_vec((0..rows * inner).map(number).collect(), (rows, inner), &Device::Cpu).unwrap(),
                &want,
            )
        };
        assert_eq!(decode(&|at| scales[own(at)] * low(at) + biases[own(at)]), 0., "{layer}");
        for off in [
            decode(&|at| scales[own(at)] * top(at) + biases[own(at)]),
            decode(&|at| scales[transposed(at)] * low(at) + biases[transposed(at)]),
            decode(&|at| scales[at / inner * groups] * low(at) + biases[at / inner * groups]),
            decode(&|at| scales[own(at)] * low(at) - biases[own(at)]),
            decode(&|at| scales[own(at)] * (low(at) + biases[own(at)])),
        ] {
            assert!(off > 0.1, "{layer}: {off}");
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
}

/// A folder as mlx-video arranges it: a transformer packed in part.
fn converted() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, name) in [("dit.safetensors", "model.safetensors"), ("config.json", "config.json")] {
        fs::copy(data(file), folder.path().join(name)).unwrap();
    }
    folder
}

/// Asserts that weights are those of a file that MLX decoded, tensor by tensor.
fn assert_decoded(packed: &Weights, mlx: &Weights) {
    assert!(packed.files().names().eq(mlx.files().names()), "{}: other tensors", packed.files().place());
    for name in mlx.files().names() {
        let tensor = |weights: &Weights| weights.tensor(name, Some(DType::F32), &Device::Cpu).unwrap();
        assert_eq!(values(&tensor(packed)), values(&tensor(mlx)), "{name} is decoded otherwise");
    }
}

#[test]
fn a_dit_that_is_packed_in_part_or_whole_computes_what_its_decoded_weights_do() {
    let truth = stored(&golden().join("io.safetensors"), "out.base").get(0).unwrap();
    let folder = converted();
    let part = folder::open(folder.path()).unwrap().weights(Role::Dit).unwrap();
    let whole = open(data("dit-whole.safetensors"));
    for (packed, decoded, lost) in [(part, "dit-mlx", 2e-2..4e-1), (whole, "dit-whole-mlx", 5e-3..1e-1)] {
        let decoded = open(data(&format!("{decoded}.safetensors")));
        assert_decoded(&packed, &decoded);
        let (got, want) = (velocity(&packed), velocity(&decoded));
        assert!(apart(&got, &want) < 1e-6, "{}", apart(&got, &want));
        let rounding = apart(&got, &truth);
        assert!(lost.contains(&rounding), "{}: {rounding} from the network before", packed.files().place());
    }
}

#[test]
fn a_packed_encoder_with_its_vocabulary() {
    let encode = |weights| Umt5::load(weights, &Device::Cpu).unwrap().encode(&[5, 699, 17, 33, 1]).unwrap();
    let (packed, decoded) = (open(data("umt5.safetensors")), open(data("umt5-mlx.safetensors")));
    assert_decoded(&packed, &decoded);
    assert_eq!(packed.files().shape("token_embedding.weight"), Some(&[700, 32][..]));
    let (got, want) = (encode(packed), encode(decoded));
    assert!(apart(&got, &want) < 1e-6, "{}", apart(&got, &want));
    let before = golden().join("../umt5/official/models_t5_umt5-xxl-enc.safetensors");
    let rounding = apart(&got, &encode(open(before)));
    assert!((1e-4..2e-2).contains(&rounding), "{rounding}");
}

#[test]
fn a_folder_that_mlx_quantised_is_told_with_what_it_takes() {
    let folder = converted();
    // Packed in another way, of which config.json says nothing.
    fs::copy(data("umt5.safetensors"), folder.path().join("t5_encoder.safetensors")).unwrap();
    let on = |device| inspect(folder.path(), Questions { device, digests: false }).unwrap();
    let report = on(DeviceKind::Cpu);
    let role = |role| report.roles.iter().find(|of| of.role == role).unwrap();
    let (dit, encoder) = (role(Role::Dit), role(Role::TextEncoder));
    assert_eq!((report.layout, dit.state), ("mlx", State::Usable), "{report}");
    let kinds: Vec<&str> = dit.dtypes.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["bf16", "mlx_4bit_g32", "mlx_6bit_g32", "mlx_8bit_g64"]);
    // A byte for each number, and of each row one scale and one bias in bf16.
    let share = dit.dtypes["mlx_8bit_g64"];
    assert_eq!((share.tensors, share.elements, share.bytes), (1, 2048, 2048 + 2 * 32 * 2));
    assert!(encoder.fault.as_ref().is_some_and(|fault| fault.contains("tokenizer.json")), "{report}");
    assert!(encoder.dtypes.contains_key("mlx_8bit_g32"), "{report}");

    let weights =
        |report: &Inspection| report.roles.iter().find(|of| of.role == Role::Dit).unwrap().memory.unwrap().weights;
    // As stored, with one matrix decoded; the others in f32, which on a GPU only those are that are no large matrices.
    let bytes =
        |part: fn(&str) -> bool| dit.dtypes.iter().filter(move |(kind, _)| part(kind)).map(|(_, share)| share.bytes);
    let (packed, plain) = (bytes(|kind| kind != "bf16").sum::<u64>(), bytes(|kind| kind == "bf16").sum::<u64>());
    assert_eq!(weights(&report), packed + 2 * plain + 64 * 32 * 4);
    let metal = weights(&on(DeviceKind::Metal));
    assert!((packed + plain + 64 * 32 * 4..packed + 2 * plain + 6 * 64 * 32 * 4).contains(&metal), "{metal}");
}
