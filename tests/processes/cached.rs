//! From a model without a curve to a video that follows its own: calibrated, rendered with and without, and compared.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{Ended, Running, Sandbox, binary, demo, says};
use crate::prompts::copy_model;

const SMALL: [&str; 8] = ["--width", "32", "--height", "32", "--frames", "5", "--steps", "12"];

fn coordinator(verb: &str, paths: &[&Path], options: &[&str]) -> Ended {
    Running::start(Command::new(binary()).arg(verb).args(paths).args(options)).wait()
}

fn json(ended: Ended) -> Value {
    let ended = ended.expect(0);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

fn render(models: &Path, cache: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(&format!(
        "[job]\nname = 'n'\nmodel = 'wan-tiny-t2v'\noutput = '{{index}}'\nformats = ['png', 'mp4']\n\
         [defaults]\nwidth = 32\nheight = 32\nframes = 5\nsteps = 12\n{cache}\n\
         [[video]]\nprompt = 'a red circle moving right on a black background'\n"
    ));
    sandbox.run(&manifest, models).wait().expect(0);
    sandbox
}

#[test]
fn a_calibrated_model_is_followed_and_the_difference_is_told() {
    let shelf = Sandbox::new();
    let model = shelf.path("wan-tiny-t2v");
    copy_model(&model);
    let models = model.parent().expect("a folder");

    let prompts = ["--prompt", "a red circle moving right", "--prompt", "a blue square moving up"];
    let told = coordinator("calibrate", &[&model], &[&SMALL[..], &prompts].concat()).expect(0).stdout;
    says(&told, &["STEP", "SPREAD", "high", "low", "of 12 steps", "mag_ratios.json"]);
    let other = shelf.path("other.json");
    let report =
        json(coordinator("calibrate", &[&model, Path::new("--out"), &other], &[&SMALL[..], &["--json"]].concat()));
    assert_eq!(
        (report["calibration"]["steps"].as_u64(), report["steps"].as_array().map(Vec::len)),
        (Some(12), Some(12))
    );
    assert!(other.is_file());
    let info = json(coordinator("inspect", &[&model], &["--json"]))["model"].clone();
    assert_eq!(info["mag_curve"]["ratios"].as_array().map(Vec::len), Some(11));

    let dense = render(models, "");
    let cached = render(models, "cache = { kind = 'magcache', threshold = 10.0, max_skip = 1 }");
    let spec = cached.sidecar("0")["spec"]["cache"].clone();
    assert_eq!(spec["curve"]["own"], info["mag_curve"]["ratios"], "the sidecar tells the curve itself");

    let (a, b) = (dense.output(), cached.output());
    let itself = json(coordinator("compare", &[&a, &a], &["--json"]));
    assert_eq!((&itself["ssim"], &itself["psnr"]), (&1.0.into(), &Value::Null));
    let report = json(coordinator("compare", &[&a, &b], &["--json"]));
    let video = &report["videos"][0];
    let ssim = video["ssim"].as_f64().expect("a number");
    assert!((0.0..1.0).contains(&ssim) && video["a"].as_str().is_some_and(|path| path.ends_with("/0")), "{video}");
    assert_eq!(video["frames"].as_array().map(Vec::len), Some(5));
    let at = |output: &Path, name: &str| output.join(name);
    let files = coordinator("compare", &[&at(&a, "0.mp4"), &at(&b, "0.json")], &[]).expect(0).stdout;
    assert!(files.contains("SSIM") && files.contains("PSNR"), "{files}");
    coordinator("compare", &[&a, &b], &["--min-ssim", "1.0"]).expect(1);
}

#[test]
fn what_cannot_be_calibrated_or_compared_has_its_exit_code() {
    let empty = Sandbox::new();
    let nothing = empty.path("nothing");
    let model = demo().join("wan-tiny-t2v");
    coordinator("calibrate", &[&nothing], &[]).expect(4);
    coordinator("calibrate", &[&model], &["--frames", "6"]).expect(2);
    coordinator("calibrate", &[&model], &["--solver", "lightning"]).expect(2);
    let refused = coordinator("compare", &[&nothing, &nothing], &[]).expect(2);
    assert!(refused.stderr.contains("nothing"), "{}", refused.stderr);
}
