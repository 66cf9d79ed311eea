//! `coordinator calibrate`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wanfarm_image::{RgbImage, load_image};
use wanfarm_manifest::solver;
use wanfarm_model::ModelError;
use wanfarm_model::folder::{self, calibration_file, write_calibration};
use wanfarm_sampling::cache::{Branch, Phases, Plan, mag_plan};
use wanfarm_tools::calibrate::{Calibrator, Measured, Progress, StepRatios, Videos};
use wanfarm_types::{Calibration, Expert, MagCache, MagCurve, ModelInfo, SolverKind};
use wanfarm_workers::Dtype;

use super::ComputeArgs;
use crate::cli::error::CliError;
use crate::cli::say::print_json;
use crate::cli::say::{err, errln, out};
use crate::cli::table::table;
use crate::exit::Exit;

/// The default prompt.
const PROMPT: &str = "A sailing boat leaves a small harbour in the morning sun; gulls circle above the pier.";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Renders each prompt once without skipping anything, which takes as long as such a render, and \
writes the curve beside the model. Workers that start afterwards announce it; manifests then follow it with \
cache = { kind = \"magcache\" }.

Examples:
  coordinator calibrate models/my-wan --prompt \"a dog runs\" --prompt \"rain\"
  coordinator calibrate models/my-wan --width 480 --height 272 --frames 33
                                            smaller, and nearly the same curve

Exits with 0 when the curve is written, 2 for settings that make no video of this model, 4 for bad model files."
)]
pub(in crate::cli) struct CalibrateArgs {
    /// The model folder.
    #[arg(value_parser = crate::cli::path::existing())]
    model: PathBuf,
    /// What to render; several are averaged, and tell how far apart videos are.
    #[arg(long = "prompt", value_name = "TEXT")]
    prompts: Vec<String>,
    /// First frame of every video, for models that start from one: PNG, JPEG or WebP.
    #[arg(long, value_name = "FILE", value_parser = crate::cli::path::existing())]
    image: Option<PathBuf>,
    /// Denoising steps [default: the model's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    steps: Option<u32>,
    /// Shift of the flow schedule [default: the model's].
    #[arg(long, value_name = "S")]
    shift: Option<f64>,
    /// unipc, dpm++ or euler [default: the model's].
    #[arg(long, value_name = "SOLVER", value_parser = method)]
    solver: Option<SolverKind>,
    /// Pixels [default: the model's].
    #[arg(long, value_name = "PIXELS")]
    width: Option<u32>,
    /// Pixels [default: the model's].
    #[arg(long, value_name = "PIXELS")]
    height: Option<u32>,
    /// Count, 4n+1 [default: the model's].
    #[arg(long, value_name = "N")]
    frames: Option<u32>,
    /// Seed of the first video's noise; each further one has the next.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Write the curve here [default: mag_ratios.json in the model folder].
    #[arg(long, value_name = "FILE", value_parser = crate::cli::path::new())]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Debug, Serialize)]
struct CalibrationReport<'a> {
    /// Where it was written.
    path: &'a Path,
    calibration: &'a Calibration,
    steps: Vec<StepRatios>,
    /// Steps' work that MagCache does with its published settings.
    computed: f64,
}

pub(super) fn calibrate(args: CalibrateArgs) -> Result<Exit, CliError> {
    super::limit_threads(super::cores())?;
    let device = args.compute.device()?;
    let dtype = args.compute.dtype.unwrap_or_else(|| Dtype::preferred(device));
    let folder = folder::open(&args.model).map_err(|error| failed(error.into()))?;
    let videos = videos(&args, folder.info());
    let count = (videos.prompts.len(), videos.steps);
    let image = args.image.as_deref().map(read_image).transpose()?;
    let calibrator = Calibrator { folder: &folder, device, bf16: dtype == Dtype::Bf16, videos, image: image.as_ref() };
    let shown = std::io::stderr().is_terminal() && !crate::logging::is_quiet();
    let mut progress = |Progress { video, step }: Progress| {
        if shown {
            err!("\rvideo {} of {}, step {} of {} ", video + 1, count.0, step + 1, count.1);
        }
    };
    let measured = calibrator.run(&mut progress).map_err(failed)?;
    if shown {
        errln!();
    }
    let path = args.out.clone().unwrap_or_else(|| calibration_file(&args.model));
    write_calibration(&measured.calibration, &path).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    let plan = plan(&measured)?;
    if args.json {
        let report = CalibrationReport {
            path: &path,
            calibration: &measured.calibration,
            steps: measured.steps(),
            computed: plan.work(),
        };
        print_json(&report)?;
    } else {
        out!("{}written to {}\n", text(&measured, &plan), path.display());
    }
    Ok(Exit::Ok)
}

fn videos(args: &CalibrateArgs, info: &ModelInfo) -> Videos {
    let defaults = &info.defaults;
    let prompts = if args.prompts.is_empty() { vec![PROMPT.to_owned()] } else { args.prompts.clone() };
    Videos {
        prompts,
        negative: defaults.negative.clone(),
        seed: args.seed,
        width: args.width.unwrap_or(defaults.width),
        height: args.height.unwrap_or(defaults.height),
        frames: args.frames.unwrap_or(defaults.frames),
        steps: args.steps.unwrap_or(defaults.steps),
        shift: args.shift.unwrap_or(defaults.shift),
        solver: args.solver.unwrap_or(defaults.solver),
        guidance: defaults.guidance,
    }
}

fn method(name: &str) -> Result<SolverKind, String> {
    match solver(name) {
        Some(solver) if solver.few_steps().is_some() => {
            Err("its few steps differ too much for a step cache".to_owned())
        }
        Some(solver) => Ok(solver),
        None => Err("known are unipc, dpm++ and euler".to_owned()),
    }
}

fn read_image(path: &Path) -> Result<RgbImage, CliError> {
    let bytes = std::fs::read(path).map_err(|e| CliError::new(Exit::Usage, format!("{}: {e}", path.display())))?;
    load_image(&path.display().to_string(), &bytes).map_err(|error| CliError::new(Exit::Usage, error))
}

/// What MagCache skips by this curve with its published settings.
fn plan(measured: &Measured) -> Result<Plan, CliError> {
    let calibration = &measured.calibration;
    let curve = calibration.curve().map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    let high = calibration.stages.iter().find(|stage| stage.expert == Expert::High);
    let high = match (high, &calibration.stages[..]) {
        (Some(high), _) => Some(high.cond.len() as u32 + 1),
        (None, [low]) if low.expert == Expert::Low => Some(0),
        _ => None,
    };
    let settings = MagCache::published(MagCurve::Own(curve.ratios));
    Ok(mag_plan(&settings, Phases { steps: calibration.steps, high }, false))
}

fn text(measured: &Measured, plan: &Plan) -> String {
    let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.5}"));
    let several = measured.videos.len() > 1;
    let row = |at: StepRatios| {
        let skipped = Branch::BOTH.map(|branch| if plan.skips(at.step, branch) { 's' } else { '.' });
        let spread = if several && at.cond.is_some() { format!("{:.5}", at.spread) } else { "-".to_owned() };
        let step = (at.step + 1).to_string();
        [step, at.expert.name().to_owned(), ratio(at.cond), ratio(at.uncond), spread, skipped.iter().collect()]
    };
    let mut text =
        table(["STEP", "EXPERT", "PROMPT", "NEGATIVE", "SPREAD", "SKIPPED"], measured.steps().into_iter().map(row));
    let (steps, work) = (measured.calibration.steps, plan.work());
    text += &format!(
        "MagCache with its published settings computes {work} of {steps} steps by this curve: {:.2} times as fast\n",
        f64::from(steps) / work
    );
    text
}

fn failed(error: ModelError) -> CliError {
    let exit = match &error {
        ModelError::Input { .. } => Exit::Usage,
        ModelError::Candle(_) => Exit::SomeFailed,
        _ => Exit::BadModelFiles,
    };
    CliError::new(exit, error)
}
