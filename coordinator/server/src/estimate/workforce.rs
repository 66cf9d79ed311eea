//! How fast each worker is: as measured, or as measured at another size, or as fast as the others of its role, or as
//! its chip should be.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_roofline::{Chip, Forecast};
use wanfarm_scheduler::{SizeClass, effort};
use wanfarm_types::{ModelInfo, Role, Stage};

/// The source of a speed, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// This stage was measured at this size.
    Measured,
    /// This stage was measured at another size.
    Scaled,
    /// Nothing was measured of this stage: calculated from the figures of the workers' chips.
    Expected,
}

/// The workers that serve one model now.
#[derive(Debug, Clone, Default)]
pub struct Workforce {
    model: Option<ModelInfo>,
    workers: Vec<Worker>,
}

#[derive(Debug, Clone)]
struct Worker {
    roles: BTreeSet<Role>,
    paces: BTreeMap<(Stage, SizeClass), f64>,
    /// What is calculated of its chip, if that is known.
    chip: Option<Forecast>,
}

impl Workforce {
    /// Nobody yet; without a model nothing can be expected of anybody's chip.
    pub fn new(model: Option<ModelInfo>) -> Self {
        Self { model, workers: Vec::new() }
    }

    /// Adds a worker: its roles for the model, its device as it announced it, and its measured seconds per step or item.
    pub fn add(
        &mut self,
        roles: impl IntoIterator<Item = Role>,
        device: &str,
        paces: impl IntoIterator<Item = (Stage, SizeClass, f64)>,
    ) {
        let usable = paces.into_iter().filter(|(.., seconds)| seconds.is_finite() && *seconds > 0.0);
        self.workers.push(Worker {
            roles: roles.into_iter().collect(),
            paces: usable.map(|(stage, size, seconds)| ((stage, size), seconds)).collect(),
            chip: Chip::of(device).copied().map(Forecast::of),
        });
    }

    /// How many workers serve a role.
    pub fn count(&self, role: Role) -> usize {
        self.workers.iter().filter(|worker| worker.roles.contains(&role)).count()
    }

    /// How many workers serve at least one of these roles.
    pub fn count_any(&self, roles: &[Role]) -> usize {
        self.workers.iter().filter(|worker| roles.iter().any(|role| worker.roles.contains(role))).count()
    }

    /// Places of the workers that serve a stage.
    pub(super) fn serving(&self, stage: Stage) -> impl Iterator<Item = usize> {
        let serves = move |worker: &&Worker| worker.roles.contains(&stage.role());
        (0..).zip(&self.workers).filter(move |(_, worker)| serves(worker)).map(|(place, _)| place)
    }

    /// Seconds per unit of a worker. One that was never measured counts as the mean of those that were; where none was,
    /// as its chip should be.
    pub(super) fn seconds(&self, worker: usize, stage: Stage, size: SizeClass) -> Option<(f64, Basis)> {
        let worker = self.workers.get(worker)?;
        let as_others = || {
            let measured: Vec<_> = self.workers.iter().filter_map(|other| other.seconds(stage, size)).collect();
            let basis = measured.iter().map(|(_, basis)| *basis).max()?;
            Some((measured.iter().map(|(seconds, _)| seconds).sum::<f64>() / measured.len() as f64, basis))
        };
        let expected = || {
            let (chip, model) = worker.chip.zip(self.model.as_ref())?;
            Some((chip.unit(model, stage, size.0), Basis::Expected))
        };
        worker.seconds(stage, size).or_else(as_others).or_else(expected)
    }
}

impl Worker {
    fn seconds(&self, stage: Stage, size: SizeClass) -> Option<(f64, Basis)> {
        if let Some(&seconds) = self.paces.get(&(stage, size)) {
            return Some((seconds, Basis::Measured));
        }
        let others = self.paces.iter().filter(|((of, _), _)| *of == stage);
        let (&(_, nearest), &seconds) = others.min_by_key(|((_, other), _)| other.0.abs_diff(size.0))?;
        Some((seconds * effort(stage, size) as f64 / effort(stage, nearest) as f64, Basis::Scaled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::Experts;
    use wanfarm_types::fixtures::info;

    const SMALL: SizeClass = SizeClass(32_768);
    const LARGE: SizeClass = SizeClass(65_536);

    #[test]
    fn a_measurement_goes_before_a_guess() {
        let mut force = Workforce::default();
        force.add([Role::Dit], "cpu", [(Stage::Denoise, SMALL, 10.0), (Stage::Denoise, LARGE, 25.0)]);
        force.add([Role::Dit], "cpu", [(Stage::Denoise, SMALL, 20.0)]);
        force.add([Role::Dit, Role::Vae], "cpu", []);
        let seconds = |worker, size| force.seconds(worker, Stage::Denoise, size).unwrap();
        assert_eq!(seconds(0, LARGE), (25.0, Basis::Measured));
        // Twice the tokens: twice the products, four times the attention, which weigh the same at 32,768.
        assert_eq!(seconds(1, LARGE), (60.0, Basis::Scaled));
        assert_eq!(seconds(2, SMALL), (15.0, Basis::Measured));
        assert_eq!(seconds(2, LARGE), (42.5, Basis::Scaled));
        assert_eq!(force.seconds(2, Stage::Decode, SMALL), None);
        assert_eq!((force.count(Role::Dit), force.count_any(&[Role::Vae, Role::DitLow])), (3, 1));
    }

    #[test]
    fn a_chip_tells_what_to_expect_until_somebody_was_measured() {
        let info = info(Experts::Single);
        let forecast = Forecast::of(*Chip::named("Apple M3 Ultra").unwrap());
        let mut force = Workforce::new(Some(info.clone()));
        force.add([Role::Dit], "metal (Apple M3 Ultra)", []);
        force.add([Role::Dit], "cuda (a card)", []);
        let expected = forecast.unit(&info, Stage::Denoise, SMALL.0);
        assert_eq!(force.seconds(0, Stage::Denoise, SMALL), Some((expected, Basis::Expected)));
        assert_eq!(force.seconds(1, Stage::Denoise, SMALL), None, "nothing is known of that card");
        force.add([Role::Dit], "metal (Apple M1)", [(Stage::Denoise, LARGE, 60.0)]);
        let as_the_other = (60.0 * 32_768.0 / 98_304.0, Basis::Scaled);
        assert_eq!(force.seconds(0, Stage::Denoise, SMALL), Some(as_the_other), "measured anywhere is better");
    }

    #[test]
    fn nonsense_is_no_measurement() {
        let mut force = Workforce::default();
        let paces = [0.0, -1.0, f64::NAN, f64::INFINITY].map(|seconds| (Stage::Decode, SMALL, seconds));
        for pace in paces {
            force.add([Role::Vae], "cpu", [pace]);
        }
        assert_eq!(force.seconds(0, Stage::Decode, SMALL), None);
    }
}
