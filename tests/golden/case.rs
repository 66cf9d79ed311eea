//! What a case is: its entry in MANIFEST.json, its tensors, and the checks made on it. Not what any family of cases
//! means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// What a tolerance is multiplied by for renders on a device: guidance multiplies the differences of two velocities, and each
/// step carries the rounding of those before it. Not derived but seen, on the emulated Metal device, which sums in f32 what
/// the CPU sums in f64: renders come to 2.4 times the CPU's limits, and the autoencoder of `repo.rs`, whose norms divide by
/// lengths close to zero, to 1.8 times. Every other network alone keeps them.
const RENDER_ON_A_DEVICE: f64 = 3.;

/// A folder of golden data, `MANIFEST.json` and one folder per case, and the device that computes them.
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    device: Device,
    manifest: Value,
}

/// One case of a folder.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    pub(crate) dir: PathBuf,
    /// Where the networks are.
    pub(crate) device: Device,
    entry: &'a Value,
}

impl Folder {
    pub(crate) fn open(root: &Path, device: Device) -> Result<Self> {
        let manifest = read_json(&root.join("MANIFEST.json"))?;
        Ok(Self { root: root.to_owned(), device, manifest })
    }

    /// The cases of the manifest, in its order.
    pub(crate) fn cases(&self) -> Result<Vec<Case<'_>>> {
        let cases = self.manifest["cases"].as_object().context("MANIFEST.json has no object \"cases\"")?;
        Ok(cases
            .iter()
            .map(|(name, entry)| Case { name, dir: self.root.join(name), device: self.device.clone(), entry })
            .collect())
    }

    /// One case by its name.
    pub(crate) fn case(&self, name: &str) -> Result<Case<'_>> {
        self.cases()?.into_iter().find(|case| case.name == name).with_context(|| format!("no case {name}"))
    }
}

impl Case<'_> {
    /// A value of the case's manifest entry by its JSON pointer, for example `/run/steps`.
    pub(crate) fn value(&self, pointer: &str) -> Result<&Value> {
        self.entry.pointer(pointer).with_context(|| format!("the manifest entry of {} has no {pointer}", self.name))
    }

    /// A number of the manifest entry.
    pub(crate) fn number(&self, pointer: &str) -> Result<f64> {
        self.value(pointer)?.as_f64().with_context(|| format!("{pointer} of {} is not a number", self.name))
    }

    /// The suggested tolerance, or `default` where the case suggests none; of a network alone, whatever the device.
    pub(crate) fn tolerance_or(&self, default: Tolerance) -> Result<Tolerance> {
        let Some(suggested) = self.entry.get("suggested_f32_tolerance") else { return Ok(default) };
        let figure = |name: &str| suggested[name].as_f64().with_context(|| format!("no {name} in {suggested}"));
        Ok(Tolerance { rel_l2: figure("rel_l2")?, max_abs: figure("max_abs_over_ref_max")? })
    }

    /// What a tolerance becomes for renders on the case's device.
    pub(crate) fn rendered(&self, Tolerance { rel_l2, max_abs }: Tolerance) -> Tolerance {
        let factor = if self.device.is_cpu() { 1. } else { RENDER_ON_A_DEVICE };
        Tolerance { rel_l2: factor * rel_l2, max_abs: factor * max_abs }
    }

    /// The case's suggested tolerance.
    pub(crate) fn tolerance(&self) -> Result<Tolerance> {
        self.value("/suggested_f32_tolerance")?;
        self.tolerance_or(Tolerance { rel_l2: 0.0, max_abs: 0.0 })
    }

    /// The folders beside the tensors, or beside those of the case that `run.weights` names, one per layout of the model files,
    /// in the order of their names.
    pub(crate) fn folders(&self) -> Result<Vec<String>> {
        let beside = self.value("/run/weights").ok().and_then(Value::as_str).unwrap_or_default();
        let dir = self.dir.join(beside);
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(Path::new(beside).join(entry.file_name()).display().to_string());
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// The tensors of `io.safetensors`.
    pub(crate) fn io(&self) -> Result<Tensors> {
        Tensors::open(&self.dir.join("io.safetensors"))
    }
}

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// The tensors of a file, by name.
pub(crate) struct Tensors(BTreeMap<String, Stored>);

/// One tensor's bytes and what they are.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensors {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
        let tensor = |view: safetensors::tensor::TensorView<'_>| Stored {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        Ok(Self(file.iter().map(|(name, view)| (name.to_owned(), tensor(view))).collect()))
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.get(name, None)?.shape)
    }

    pub(crate) fn f32(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.elements(name, Dtype::F32)?.map(f32::from_le_bytes).collect())
    }

    pub(crate) fn i64(&self, name: &str) -> Result<Vec<i64>> {
        Ok(self.elements(name, Dtype::I64)?.map(i64::from_le_bytes).collect())
    }

    pub(crate) fn u8(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.get(name, Some(Dtype::U8))?.bytes.clone())
    }

    /// An f32 tensor with its shape.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor> {
        Ok(Tensor::from_vec(self.f32(name)?, self.shape(name)?, &Device::Cpu)?)
    }

    /// Timesteps, which the data keeps as integers where they are truncated and as floats where they are not.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        match self.get(name, None)?.dtype {
            Dtype::I64 => Ok(self.i64(name)?.into_iter().map(|value| value as f64).collect()),
            _ => Ok(self.f32(name)?.into_iter().map(f64::from).collect()),
        }
    }

    fn get(&self, name: &str, dtype: Option<Dtype>) -> Result<&Stored> {
        let tensor = self.0.get(name).with_context(|| format!("no tensor {name}"))?;
        if let Some(dtype) = dtype {
            ensure!(tensor.dtype == dtype, "{name} is {:?}, not {dtype:?}", tensor.dtype);
        }
        Ok(tensor)
    }

    fn elements<const N: usize>(&self, name: &str, dtype: Dtype) -> Result<impl Iterator<Item = [u8; N]>> {
        let chunks = self.get(name, Some(dtype))?.bytes.as_chunks::<N>().0;
        Ok(chunks.iter().copied())
    }
}

/// How far a tensor may be from the truth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// ‖a−b‖ / ‖b‖.
    pub(crate) rel_l2: f64,
    /// max|a−b| / max|b|.
    pub(crate) max_abs: f64,
}

/// One comparison: a figure and the most it may be.
struct Check {
    what: String,
    measure: &'static str,
    figure: f64,
    limit: f64,
}

impl Check {
    /// NaN is never within a limit.
    fn passed(&self) -> bool {
        self.figure <= self.limit
    }

    /// Orders checks from the safest to the worst: how close a figure comes to its limit, failures last.
    fn strain(&self) -> (bool, f64) {
        (!self.passed(), if self.figure == 0.0 { 0.0 } else { self.figure / self.limit })
    }
}

/// The comparisons made on a case.
#[derive(Default)]
pub(crate) struct Checks(Vec<Check>);

impl Checks {
    /// Compares a tensor with the truth.
    pub(crate) fn close(&mut self, what: impl Into<String>, got: &[f32], want: &[f32], tolerance: Tolerance) {
        let what = what.into();
        self.rel_l2(what.clone(), got, want, tolerance.rel_l2);
        self.push(what, "max_abs/ref_max", errors(got, want).1, tolerance.max_abs);
    }

    /// Compares a tensor with the truth as a whole.
    pub(crate) fn rel_l2(&mut self, what: impl Into<String>, got: &[f32], want: &[f32], limit: f64) {
        self.push(what.into(), "rel_l2", errors(got, want).0, limit);
    }

    /// Demands that every element be within `limit` of the truth.
    pub(crate) fn within(&mut self, what: impl Into<String>, got: &[f64], want: &[f64], limit: f64) {
        let worst = got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, nan_max);
        let figure = if got.len() == want.len() { worst } else { f64::INFINITY };
        self.push(what.into(), "max_abs", figure, limit);
    }

    /// Demands that every 8-bit value be within one level of the truth: what lies at the edge of two levels may fall to
    /// either side. The figure is the count of those further off.
    pub(crate) fn levels(&mut self, what: impl Into<String>, got: &[u8], want: &[u8]) {
        let far = got.iter().zip(want).filter(|(got, want)| got.abs_diff(**want) > 1).count();
        self.push(what.into(), "bytes off by more than a level", (far + got.len().abs_diff(want.len())) as f64, 0.0);
    }

    /// Demands equality; the figure is the count of unequal elements.
    pub(crate) fn equal<T: PartialEq>(&mut self, what: impl Into<String>, got: &[T], want: &[T]) {
        let unequal = got.iter().zip(want).filter(|(got, want)| got != want).count() + got.len().abs_diff(want.len());
        self.push(what.into(), "unequal", unequal as f64, 0.0);
    }

    fn push(&mut self, what: String, measure: &'static str, figure: f64, limit: f64) {
        self.0.push(Check { what, measure, figure, limit });
    }

    /// True when there were checks and all of them passed.
    pub(crate) fn passed(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(Check::passed)
    }

    /// The check that came closest to its limit or went furthest beyond it.
    pub(crate) fn worst(&self) -> Result<String> {
        let order = |a: &&Check, b: &&Check| {
            let (a, b) = (a.strain(), b.strain());
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        };
        let Some(check) = self.0.iter().max_by(order) else {
            bail!("nothing was checked: no tensor has a name of the documented pattern");
        };
        let Check { what, measure, figure, limit } = check;
        Ok(format!("worst {measure} {figure:.2e} (tolerance {limit:.1e}) at {what}; {} checks", self.0.len()))
    }
}

/// (‖a−b‖ / ‖b‖, max|a−b| / max|b|); infinite for unequal lengths, NaN where a value is NaN.
fn errors(got: &[f32], want: &[f32]) -> (f64, f64) {
    if got.len() != want.len() {
        return (f64::INFINITY, f64::INFINITY);
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let differences = || got.iter().zip(want).map(|(&got, &want)| f64::from(got) - f64::from(want));
    let truth = || want.iter().map(|&value| f64::from(value));
    let max = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(0.0, nan_max);
    (ratio(norm(&mut differences()), norm(&mut truth())), ratio(max(&mut differences()), max(&mut truth())))
}

/// error / reference, where no error is no error even of nothing.
fn ratio(error: f64, reference: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / reference }
}

/// The larger of two numbers, NaN counting as the largest.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIGHT: Tolerance = Tolerance { rel_l2: 1e-5, max_abs: 5e-5 };

    fn passes(check: impl FnOnce(&mut Checks)) -> bool {
        let mut checks = Checks::default();
        check(&mut checks);
        checks.passed()
    }

    #[test]
    fn figures_are_relative_to_the_truth() {
        let (rel_l2, max_abs) = errors(&[3.0, 4.5], &[3.0, 4.0]);
        assert!((rel_l2 - 0.1).abs() < 1e-12 && (max_abs - 0.125).abs() < 1e-12);
    }

    #[test]
    fn small_errors_pass_and_large_ones_do_not() {
        assert!(passes(|c| c.close("", &[1.0, 2.0], &[1.0, 2.00001], TIGHT)));
        assert!(!passes(|c| c.close("", &[1.0, 2.0], &[1.0, 2.0001], TIGHT)));
        assert!(passes(|c| c.equal("", &[1, 2], &[1, 2])) && !passes(|c| c.equal("", &[1, 2], &[1, 3])));
        assert!(passes(|c| c.levels("", &[1, 2], &[0, 3])) && !passes(|c| c.levels("", &[1, 2], &[1, 4])));
        assert!(passes(|c| c.within("", &[1.0], &[1.1], 0.2)) && !passes(|c| c.within("", &[1.0], &[1.3], 0.2)));
    }

    #[test]
    fn nan_missing_elements_and_no_checks_fail() {
        assert!(!passes(|c| c.close("", &[f32::NAN, 2.0], &[1.0, 2.0], TIGHT)));
        assert!(!passes(|c| c.close("", &[1.0], &[1.0, 2.0], TIGHT)));
        assert!(!passes(|c| c.within("", &[1.0], &[1.0, 2.0], 1.0)));
        assert!(!passes(|c| c.within("", &[f64::NAN, 0.0], &[1.0, 0.0], 1.0)));
        assert!(!passes(|c| c.equal("", &[1], &[1, 2])) && !passes(|c| c.levels("", &[1], &[1, 2])));
        assert!(!passes(|_| ()));
    }

    #[test]
    fn the_worst_check_is_the_one_reported() {
        let mut checks = Checks::default();
        checks.within("near", &[1.0], &[1.1], 1.0);
        checks.within("broken", &[1.0], &[9.0], 1.0);
        checks.within("far", &[1.0], &[1.5], 1.0);
        assert!(checks.worst().unwrap().contains("at broken"));
        checks.equal("unequal", &[1], &[2]);
        assert!(checks.worst().unwrap().contains("at unequal"));
    }
}
