//! Case `cache`: which steps MagCache and TeaCache skip, and what becomes of the latents.
//!
//! `magcache_schedules.json` holds the steps skipped at many settings: `official`, by the published script, whose sums
//! cross the switch of experts, and `reset_at_boundary`; each with the switch where the script or the schedule has it.
//! `teacache_decisions.json` holds changes of embeddings and the steps skipped. `runs.json` describes renders whose
//! latents are in `io.safetensors`: `{run}.noise` (or that of the seed), `{run}.latents.after_step`.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use wanfarm_model::ModelError;
use wanfarm_model::conditioning::Conditioning;
use wanfarm_model::dit::{Blocks, TextContext, WanModel};
use wanfarm_model::step_cache::{ExpertSteps, StepCache};
use wanfarm_sampling::cache::{Branch, Phases, Plan, TeaZones, mag_plan, tea_plan};
use wanfarm_sampling::{Schedule, Solver, SolverState, randn};
use wanfarm_tests::files::Experts;
use wanfarm_types::{CacheSettings, Expert, MagCache, MagCurve, Retention, SolverKind, TeaCache, TeaModel};

use crate::case::{Case, Checks, Tensors, Tolerance, read_json};

/// The case suggests none: what other renders keep.
const TOLERANCE: Tolerance = Tolerance { rel_l2: 1e-5, max_abs: 5e-5 };

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let mut checks = Checks::default();
    mag_schedules(&read_json(&case.dir.join("magcache_schedules.json"))?, &mut checks)?;
    tea_decisions(&read_json(&case.dir.join("teacache_decisions.json"))?, &mut checks)?;
    let experts = Experts::in_folder(&case.dir.join("official_repo"), DType::F32, &case.device)?;
    let (io, runs) = (case.io()?, read_json(&case.dir.join("runs.json"))?);
    for name in io.names().filter_map(|name| name.strip_suffix(".latents.after_step")) {
        let run = Run::read(name, &runs)?;
        let Render { latents, plans } = run.render(&io, &experts, |_| false)?;
        let want = io.f32(&format!("{name}.latents.after_step"))?;
        for (step, latents) in latents.iter().enumerate() {
            let want = want.chunks(latents.len()).nth(step).context("too few latents")?;
            checks.close(format!("{name}, step {step}"), latents, want, TOLERANCE);
        }
        run.check_plans(&plans, &mut checks)?;
    }
    Ok(checks)
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value[key].as_f64().with_context(|| format!("{key} of {value} is no number"))
}

fn steps(value: &Value) -> Result<Vec<u32>> {
    let list = value.as_array().with_context(|| format!("{value} is no list"))?;
    Ok(list.iter().filter_map(Value::as_u64).map(|step| step as u32).collect())
}

fn equal_plan(checks: &mut Checks, what: &str, plan: &Plan, want: &Value) -> Result<()> {
    for (branch, name) in [(Branch::Cond, "cond"), (Branch::Uncond, "uncond")] {
        checks.equal(format!("{what}: {name}"), &plan.skipped(branch), &steps(&want[name])?);
    }
    Ok(())
}

fn mag_schedules(file: &Value, checks: &mut Checks) -> Result<()> {
    let schedules = file["schedules"].as_array().context("no schedules")?;
    ensure!(!schedules.is_empty(), "no schedules");
    for (index, entry) in schedules.iter().enumerate() {
        let zones = match entry["mode"].as_str() {
            Some("i2v") => Retention::FirstPhase,
            _ => Retention::EachPhase,
        };
        let settings = MagCache {
            curve: curve(entry["curve"].as_str().unwrap_or_default())?,
            threshold: number(entry, "thresh")?,
            max_skip: number(entry, "K")? as u32,
            retention: number(entry, "retention")?,
            zones,
            joint: false,
        };
        let phases = |split: &str| -> Result<Phases> {
            let high = entry[split].as_u64().map(|high| high as u32);
            Ok(Phases { steps: number(entry, "steps")? as u32, high })
        };
        let (script, real) = (phases("split_step_magcache_script")?, phases("high_noise_steps_of_real_unipc")?);
        for (name, phases, carry) in [
            ("official", script, true),
            ("reset_at_boundary", script, false),
            ("official_with_real_split", real, true),
            ("reset_with_real_split", real, false),
        ] {
            let plan = mag_plan(&settings, phases, carry);
            // A list of them is the same as another where it is not there.
            if !entry[name].is_null() {
                equal_plan(checks, &format!("schedule {index}, {name}"), &plan, &entry[name])?;
            }
        }
    }
    Ok(())
}

fn curve(name: &str) -> Result<MagCurve> {
    Ok(match name {
        "t2v_A14B" => MagCurve::T2vA14b,
        "i2v_A14B" => MagCurve::I2vA14b,
        "ti2v_5B_t2v" => MagCurve::Ti2v5bText,
        "ti2v_5B_i2v" => MagCurve::Ti2v5bImage,
        other => bail!("no curve is called {other}"),
    })
}

fn tea_decisions(file: &Value, checks: &mut Checks) -> Result<()> {
    let changes = file["rel_l1"].as_array().context("no changes")?;
    for (index, entry) in file["cases"].as_array().context("no cases")?.iter().enumerate() {
        let projected = entry["use_ret_steps"].as_bool().context("use_ret_steps")?;
        let model = tea_model(entry["coefficients"].as_str().unwrap_or_default())?;
        let settings = TeaCache { model, threshold: number(entry, "thresh")?, projected };
        let (scale, count) = (number(entry, "rel_l1_scale")?, changes.len() as u32);
        let plan = tea_plan(&settings, &TeaZones::new(&settings, 0..count), count, |step| {
            changes[step as usize].as_f64().map(|change| change * scale).context("a change is no number")
        })?;
        checks.equal(format!("decisions {index}"), &plan.skipped(Branch::Cond), &steps(&entry["skipped"])?);
    }
    Ok(())
}

fn tea_model(name: &str) -> Result<TeaModel> {
    Ok(match name.trim_end_matches("_ret") {
        "t2v_1.3B" => TeaModel::T2v1_3b,
        "t2v_14B" => TeaModel::T2v14b,
        "i2v_480p" => TeaModel::I2v480p,
        "i2v_720p" => TeaModel::I2v720p,
        "linear_for_tests" => TeaModel::Linear,
        other => bail!("no coefficients are called {other}"),
    })
}

/// The latents after every step, and the plan of each expert's steps where there is one.
struct Render {
    latents: Vec<Vec<f32>>,
    plans: Vec<(Range<u32>, Plan)>,
}

/// A render of `runs.json`.
struct Run<'a> {
    name: &'a str,
    entry: &'a Value,
    settings: CacheSettings,
    schedule: Schedule,
    /// Leading steps of the high-noise expert, if both are used.
    high: Option<u32>,
    /// Of the high-noise expert, and of the low-noise or only one.
    scales: [f64; 2],
    seed: u64,
}

impl<'a> Run<'a> {
    fn read(name: &'a str, runs: &'a Value) -> Result<Self> {
        let kind = if name.starts_with("magcache.") { "magcache" } else { "teacache" };
        let entry = &runs[kind][name];
        let schedule = Schedule::new(SolverKind::UniPc, number(entry, "steps")? as u32, number(entry, "shift")?)?;
        let threshold = number(entry, "thresh")?;
        let settings = if kind == "magcache" {
            let curve = if name.contains("ti2v") { MagCurve::Ti2v5bText } else { MagCurve::T2vA14b };
            CacheSettings::Magcache(MagCache {
                threshold,
                max_skip: number(entry, "K")? as u32,
                retention: number(entry, "retention")?,
                ..MagCache::published(curve)
            })
        } else {
            let projected = entry["use_ret_steps"].as_bool().unwrap_or_default();
            let model = tea_model(entry["coefficients"].as_str().unwrap_or_default())?;
            CacheSettings::Teacache(TeaCache { model, threshold, projected })
        };
        let scales = match entry["guide_low_high"].as_array() {
            Some(scales) => [scales[1].as_f64().context("guidance")?, scales[0].as_f64().context("guidance")?],
            None => [number(entry, "guide")?; 2],
        };
        let high = entry["split_step"].as_u64().or(entry["high_steps"].as_u64()).map(|high| high as u32);
        let seed = runs["seed_of_torch_randn"].as_u64().context("no seed")?;
        Ok(Self { name, entry, settings, schedule, high, scales, seed })
    }

    /// Denoises. `interrupted` says before which steps the cache is lost, all but what travels.
    fn render(&self, io: &Tensors, experts: &Experts, interrupted: impl Fn(u32) -> bool) -> Result<Render> {
        let shape = io.shape(&format!("{}.latents.after_step", self.name))?[1..].to_vec();
        let noise = format!("{}.noise", self.name);
        let count: usize = shape.iter().product();
        let sample = if io.has(&noise) { io.f32(&noise)? } else { randn(self.seed, count) };
        let mut state = SolverState { sample, history: Vec::new() };
        let solver = Solver::new(SolverKind::UniPc, &self.schedule);
        let end = self.schedule.steps();
        let mut render = Render { latents: Vec::new(), plans: Vec::new() };
        let phases = match self.high {
            Some(high) => vec![(Expert::High, 0..high), (Expert::Low, high..end)],
            None => vec![(Expert::Single, 0..end)],
        };
        for (expert, phase) in phases {
            // The renders with one transformer are by the high-noise one.
            let high = experts.high.as_ref().filter(|_| expert != Expert::Low);
            let model = high.unwrap_or(&experts.low);
            let scale = self.scales[usize::from(expert != Expert::High)];
            let text = |name| -> Result<TextContext> { Ok(model.embed_text(&io.tensor(name)?)?) };
            let texts = [text("context.cond")?, text("context.null")?];
            let part = || ExpertSteps {
                schedule: &self.schedule,
                expert,
                steps: phase.clone(),
                shape: [shape[0], shape[1], shape[2], shape[3]],
                scale,
            };
            let new = || self.cache(part(), model);
            let mut cache = new()?;
            for step in phase.clone() {
                if interrupted(step) {
                    let kept = cache.kept(step);
                    cache = new()?;
                    cache.resume(step, kept)?;
                }
                let mut pass = |branch, latents: &[f32], time, blocks: Blocks<'_>| {
                    velocity(model, latents, &shape, time, &texts[branch as usize], blocks).map(Some)
                };
                let guided = cache.velocity(step, &state.sample, &mut pass)?.context("nobody stopped it")?;
                state = solver.advance(step, &state, &guided)?;
                render.latents.push(state.sample.clone());
            }
            let plan = cache.plan().cloned();
            render.plans.extend(plan.map(|plan| (phase, plan)));
        }
        Ok(render)
    }

    /// The renders with MagCache are by the published script, whose sums cross the switch of experts.
    fn cache<'s>(&'s self, part: ExpertSteps<'s>, model: &WanModel) -> Result<StepCache<'s>> {
        if let CacheSettings::Magcache(settings) = &self.settings {
            let phases = Phases { steps: self.schedule.steps(), high: self.high };
            return Ok(StepCache::following(mag_plan(settings, phases, true), part));
        }
        Ok(StepCache::new(&self.settings, part, model, &Conditioning::None)?)
    }

    fn check_plans(&self, plans: &[(Range<u32>, Plan)], checks: &mut Checks) -> Result<()> {
        for (index, (phase, plan)) in plans.iter().enumerate() {
            let (list, offset) = match self.entry.get("skipped_high") {
                None => (&self.entry["skipped"], 0),
                Some(list) if index == 0 => (list, 0),
                Some(_) => (&self.entry["skipped_low(step index inside the low phase)"], phase.start),
            };
            for (branch, name) in [(Branch::Cond, "cond"), (Branch::Uncond, "uncond")] {
                let want: Vec<u32> = steps(&list[name])?.into_iter().map(|step| step + offset).collect();
                let want: Vec<u32> = want.into_iter().filter(|step| phase.contains(step)).collect();
                let got: Vec<u32> = plan.skipped(branch).into_iter().filter(|step| phase.contains(step)).collect();
                checks.equal(format!("{}: {name} {phase:?}", self.name), &got, &want);
            }
        }
        Ok(())
    }
}

fn velocity(
    model: &WanModel,
    latents: &[f32],
    shape: &[usize],
    time: f64,
    text: &TextContext,
    blocks: Blocks<'_>,
) -> Result<Vec<f32>, ModelError> {
    let x = Tensor::from_slice(latents, shape, &Device::Cpu)?;
    let velocity = Conditioning::None.velocity(model, &x, time, text, blocks)?;
    Ok(velocity.flatten_all()?.to_vec1()?)
}

/// What the case must catch, each mistake made on purpose; and what interruptions must not change.
#[cfg(test)]
mod controls {
    use super::*;
    use crate::committed;
    use wanfarm_types::{CfgCache, SenCache};

    const DUAL: &str = "magcache.t2v.s20";

    /// The latents of a render of `runs.json`, changed.
    fn latents(name: &str, change: impl Fn(&mut Run<'_>), interrupted: impl Fn(u32) -> bool) -> Vec<Vec<f32>> {
        let folder = committed().unwrap();
        let case = folder.case("cache").unwrap();
        let experts = Experts::in_folder(&case.dir.join("official_repo"), DType::F32, &case.device).unwrap();
        let runs = read_json(&case.dir.join("runs.json")).unwrap();
        let mut run = Run::read(name, &runs).unwrap();
        change(&mut run);
        run.render(&case.io().unwrap(), &experts, interrupted).unwrap().latents
    }

    fn bits(latents: &[Vec<f32>]) -> Vec<u32> {
        latents.iter().flatten().map(|value| value.to_bits()).collect()
    }

    fn caught(name: &str, mistake: impl Fn(&mut Run<'_>)) -> bool {
        let folder = committed().unwrap();
        let want = folder.case("cache").unwrap().io().unwrap().f32(&format!("{name}.latents.after_step")).unwrap();
        let mut checks = Checks::default();
        checks.close("", &latents(name, mistake, |_| false).concat(), &want, TOLERANCE);
        !checks.passed()
    }

    fn magcache(run: &mut Run<'_>, change: impl Fn(&mut MagCache)) {
        if let CacheSettings::Magcache(settings) = &mut run.settings {
            change(settings);
        }
    }

    #[test]
    fn mistakes_are_caught() {
        assert!(!caught(DUAL, |_| ()));
        assert!(caught(DUAL, |run| run.settings = CacheSettings::None), "nothing skipped");
        assert!(caught(DUAL, |run| magcache(run, |settings| settings.max_skip = 1)));
        assert!(caught(DUAL, |run| magcache(run, |settings| settings.joint = true)));
        assert!(caught(DUAL, |run| magcache(run, |settings| settings.curve = MagCurve::I2vA14b)));
        assert!(caught(DUAL, |run| magcache(run, |settings| settings.retention = 0.4)));
        let teacache = |run: &mut Run<'_>| {
            if let CacheSettings::Teacache(settings) = &mut run.settings {
                settings.projected = !settings.projected;
            }
        };
        assert!(caught("tea.single.linear_e", teacache), "the other embedding");
    }

    /// A process that dies keeps nothing but what travelled with the latents.
    #[test]
    fn interruptions_change_no_byte() {
        let tea = TeaCache { model: TeaModel::Linear, threshold: 1.2, projected: false };
        let strategies = [
            CacheSettings::None,
            CacheSettings::Magcache(MagCache { threshold: 0.12, ..MagCache::published(MagCurve::T2vA14b) }),
            CacheSettings::Magcache(MagCache { joint: true, ..MagCache::published(MagCurve::T2vA14b) }),
            CacheSettings::Teacache(tea),
            CacheSettings::CfgCache(CfgCache { start: 0.1, end: 1.0, ..CfgCache::default() }),
            CacheSettings::Sencache(SenCache { tolerance: 0.9, ..SenCache::default() }),
        ];
        let mut all = Vec::new();
        for settings in strategies {
            let with = |run: &mut Run<'_>| run.settings = settings.clone();
            let whole = bits(&latents(DUAL, with, |_| false));
            assert_eq!(whole, bits(&latents(DUAL, with, |_| true)), "{}: at every step", settings.name());
            for at in [4, 9, 12, 13, 14, 16, 18] {
                assert_eq!(whole, bits(&latents(DUAL, with, |step| step == at)), "{}: at {at}", settings.name());
            }
            all.push(whole);
        }
        // Each strategy has done something, and its own.
        assert!((1..all.len()).all(|i| !all[..i].contains(&all[i])));
    }

    /// With one pass, only that of the prompt is run, skipped and kept.
    #[test]
    fn without_guidance_there_is_one_pass() {
        let settings = [
            CacheSettings::Magcache(MagCache { threshold: 0.12, ..MagCache::published(MagCurve::T2vA14b) }),
            CacheSettings::CfgCache(CfgCache::default()),
            CacheSettings::Sencache(SenCache { tolerance: 0.9, ..SenCache::default() }),
        ];
        for settings in settings {
            let with = |run: &mut Run<'_>| (run.settings, run.scales) = (settings.clone(), [1.0; 2]);
            assert_eq!(bits(&latents(DUAL, with, |_| false)), bits(&latents(DUAL, with, |_| true)));
        }
    }
}
