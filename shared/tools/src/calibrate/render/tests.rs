//! The demo model's curve, against a plain loop that keeps everything and computes in f64 afterwards.

use super::*;
use crate::doctor::demo;

const STEPS: u32 = 6;

fn videos(prompts: &[&str]) -> Videos {
    Videos {
        prompts: prompts.iter().map(|prompt| (*prompt).to_owned()).collect(),
        negative: String::new(),
        seed: 3,
        width: 32,
        height: 32,
        frames: 5,
        steps: STEPS,
        shift: 8.0,
        solver: SolverKind::Euler,
        guidance: Guidance { high: 5.0, low: 3.0 },
    }
}

fn measure(videos: Videos) -> Measured {
    let folder = demo::folder();
    let calibrator = Calibrator { folder: &folder, device: DeviceKind::Cpu, bf16: false, videos, image: None };
    calibrator.run(&mut |_| ()).unwrap()
}

/// What the blocks add, by step and pass, over both experts: rows of tokens.
fn residuals(prompt: &str) -> (u32, Vec<[Vec<Vec<f64>>; 2]>) {
    let folder = demo::folder();
    let tokenizer = Tokenizer::load(folder.tokenizer()).unwrap();
    let umt5 = Umt5::load(folder.weights(Role::TextEncoder).unwrap(), &Device::Cpu).unwrap();
    let rows = ["", prompt].map(|text| umt5.encode(&tokenizer.encode(text).unwrap().ids).unwrap());
    let schedule = Schedule::new(SolverKind::Euler, STEPS, 8.0).unwrap();
    let high = schedule.steps_of(Expert::High, folder.info().experts).unwrap().end;
    let experts = [demo::expert(Role::DitHigh), demo::expert(Role::DitLow)];
    let mut x = Tensor::from_vec(randn(3, 16 * 2 * 4 * 4), (16, 2, 4, 4), &Device::Cpu).unwrap();
    let mut all = Vec::new();
    for step in 0..STEPS {
        let low = step >= high;
        let model = &experts[usize::from(low)];
        let run = |text: &Tensor| {
            let text = model.embed_text(text).unwrap();
            let mut kept = None;
            let timestep = schedule.timesteps()[step as usize];
            let time = wanfarm_model::dit::Timesteps::Scalar(timestep);
            let velocity = model.forward_with(&x, time, &text, Blocks::Keep(&mut kept)).unwrap();
            let rows = kept.unwrap().rows().to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
            (velocity, rows)
        };
        let ((uncond, without), (cond, with)) = (run(&rows[0]), run(&rows[1]));
        all.push([with, without]);
        let scale = if low { 3.0 } else { 5.0 };
        let guided = (&uncond + ((cond - &uncond).unwrap() * scale).unwrap()).unwrap();
        let sigmas = schedule.sigmas();
        let stride = sigmas[step as usize + 1] - sigmas[step as usize];
        x = (x + (guided * stride).unwrap()).unwrap();
    }
    (high, all)
}

fn ratio(now: &[Vec<f64>], before: &[Vec<f64>]) -> f64 {
    let norm = |row: &Vec<f64>| row.iter().map(|value| value * value).sum::<f64>().sqrt();
    now.iter().zip(before).map(|(now, before)| norm(now) / norm(before)).sum::<f64>() / now.len() as f64
}

#[test]
fn the_curve_is_that_of_a_plain_computation() {
    let measured = measure(videos(&["a red circle moving right on a black background"]));
    let (high, all) = residuals("a red circle moving right on a black background");
    assert!(high > 1 && high + 1 < STEPS, "both experts have steps: {high}");
    let want = |steps: Range<u32>, pass: usize| -> Vec<f64> {
        steps.map(|step| ratio(&all[step as usize][pass], &all[step as usize - 1][pass])).collect()
    };
    let wanted = [(Expert::High, 1..high), (Expert::Low, high + 1..STEPS)];
    let close = |got: &[f64], want: &[f64]| {
        got.len() == want.len() && got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-4 * want)
    };
    for (stage, (expert, steps)) in measured.calibration.stages.iter().zip(wanted) {
        let [cond, uncond] = [0, 1].map(|pass| want(steps.clone(), pass));
        assert_eq!(stage.expert, expert);
        assert!(close(&stage.cond, &cond), "{:?} is not {cond:?}", stage.cond);
        assert!(close(&stage.uncond, &uncond), "{:?} is not {uncond:?}", stage.uncond);
        // What mistakes would give is something else.
        let inverted: Vec<f64> = cond.iter().map(|ratio| ratio.recip()).collect();
        assert!(!close(&stage.cond, &uncond) && !close(&stage.cond, &inverted), "{cond:?}");
    }
    let across = ratio(&all[high as usize][0], &all[high as usize - 1][0]);
    let low = &measured.calibration.stages[1];
    assert_eq!(low.cond.len() as u32, STEPS - high - 1, "nothing is related to the other expert");
    assert!((across - low.cond[0]).abs() > 1e-2, "{across}");
    let curve = measured.calibration.curve().unwrap();
    assert_eq!(curve.ratios[high as usize - 1], curve.ratios[high as usize]);
    assert_eq!((curve.ratios.len() as u32, curve.steps), (STEPS - 1, STEPS));
}

#[test]
fn several_videos_are_averaged_and_their_spread_is_known() {
    let prompts = ["a red circle moving right on a black background", "a blue square moving up on a white background"];
    let both = measure(videos(&prompts));
    let [first, second] = prompts.map(|prompt| measure(videos(&[prompt])));
    // The second video has the next seed.
    let second = Videos { seed: 4, ..videos(&[second.calibration.prompts[0].as_str()]) };
    let second = measure(second);
    for (stage, (first, second)) in both.calibration.stages.iter().zip(first.videos[0].iter().zip(&second.videos[0])) {
        for (mean, (a, b)) in stage.cond.iter().zip(first.cond.iter().zip(&second.cond)) {
            assert!((mean - (a + b) / 2.0).abs() < 1e-5);
        }
    }
    let steps = both.steps();
    assert_eq!(steps.len() as u32, STEPS);
    assert!(steps[0].cond.is_none() && steps[1].cond.is_some());
    assert!(steps[1].spread > 0.0 && first.steps()[1].spread == 0.0);
    assert!(both.calibration.files.iter().any(|file| file.path.starts_with("transformer_2/")));
}

#[test]
fn without_guidance_there_is_one_pass() {
    let one = Videos { guidance: Guidance { high: 1.0, low: 1.0 }, ..videos(&["a red circle"]) };
    let measured = measure(one);
    assert!(measured.calibration.stages.iter().all(|stage| stage.uncond.is_empty() && !stage.cond.is_empty()));
}

#[test]
fn what_makes_no_video_is_refused() {
    let folder = demo::folder();
    let refused = |videos| {
        let calibrator = Calibrator { folder: &folder, device: DeviceKind::Cpu, bf16: false, videos, image: None };
        calibrator.run(&mut |_| ()).unwrap_err().to_string()
    };
    assert!(refused(Videos { frames: 6, ..videos(&["a"]) }).contains("frames"));
    assert!(refused(Videos { steps: 0, ..videos(&["a"]) }).contains("steps = 0"));
    assert!(refused(videos(&[])).contains("none to render"));
}
