//! The quality gate against real renders, real faults (the same model broken on purpose) and made-up ones.
//!
//! `data/*.png` are filmstrips of 64x64 frames, one above the other: renders of a small trained model;
//! `noise_latents` is its VAE's picture of pure noise, `swapped_experts` a render with high and low exchanged.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as loudly as tests")]

use std::path::Path;

use wanfarm_image::load_image;
use wanfarm_media::{Frames, Quality, Verdict, assess};

const REAL: [&str; 4] = ["red_circle", "blue_square", "purple_circle", "standing_still"];
const SIDE: usize = 64;

fn clip(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("{name}.png"));
    let image = load_image(name, &std::fs::read(path).unwrap()).unwrap();
    assert_eq!((image.width(), image.height() % SIDE), (SIDE, 0));
    image.data().to_vec()
}

fn judge(data: &[u8]) -> Quality {
    let frames = data.len() / (SIDE * SIDE * 3);
    assess(&Frames::new(data, frames, SIDE, SIDE).unwrap())
}

/// Uniform numbers in 0..1, always the same.
fn uniform() -> impl FnMut() -> f64 {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    }
}

/// Independent noise in every frame and channel, blurred by boxes of `2 radius + 1` three times (nearly Gaussian).
fn blurred_noise(frames: usize, radius: usize) -> Vec<u8> {
    let mut next = uniform();
    let mut planes = Vec::new();
    for _ in 0..frames * 3 {
        let mut plane: Vec<f64> = (0..SIDE * SIDE).map(|_| next() - 0.5).collect();
        for _ in 0..3 {
            for (dx, dy) in [(1, 0), (0, 1)] {
                plane = (0..SIDE * SIDE)
                    .map(|i| {
                        (0..=2 * radius)
                            .map(|k| {
                                let shift = |at: usize, d: usize| (at + SIDE + d * k - d * radius) % SIDE;
                                plane[shift(i / SIDE, dy) * SIDE + shift(i % SIDE, dx)]
                            })
                            .sum()
                    })
                    .collect();
            }
        }
        let spread = (plane.iter().map(|v| v * v).sum::<f64>() / plane.len() as f64).sqrt();
        planes.push(plane.into_iter().map(|v| (128.0 + 40.0 * v / spread).clamp(0.0, 255.0) as u8).collect::<Vec<_>>());
    }
    let mut data = Vec::new();
    for frame in planes.chunks_exact(3) {
        data.extend((0..SIDE * SIDE).flat_map(|pixel| [0, 1, 2].map(|channel| frame[channel][pixel])));
    }
    data
}

fn with_checkerboard(mut data: Vec<u8>, period: usize, strength: u8) -> Vec<u8> {
    for (index, pixel) in data.chunks_exact_mut(3).enumerate() {
        let (x, y) = (index % SIDE, index / SIDE % SIDE);
        let up = (x / (period / 2) + y / (period / 2)).is_multiple_of(2);
        for sample in pixel {
            *sample = if up { sample.saturating_add(strength) } else { sample.saturating_sub(strength) };
        }
    }
    data
}

#[test]
fn real_renders_pass() {
    for name in REAL {
        let quality = judge(&clip(name));
        assert_eq!(quality.verdict, Verdict::Ok, "{name}: {quality:#?}");
        assert!(quality.reasons.is_empty());
    }
}

#[test]
fn real_faults_are_caught() {
    for name in ["noise_latents", "swapped_experts"] {
        let quality = judge(&clip(name));
        assert_eq!(quality.noise.verdict, Verdict::Bad, "{name}: {quality:#?}");
        assert_eq!(quality.reasons.len(), 1);
    }
}

#[test]
fn made_up_noise_is_caught() {
    let mut next = uniform();
    let white: Vec<u8> = (0..17 * SIDE * SIDE * 3).map(|_| (next() * 256.0) as u8).collect();
    assert_eq!(judge(&white).noise.verdict, Verdict::Bad);
    for radius in [1, 2, 3] {
        for frames in [1, 5, 17] {
            let quality = judge(&blurred_noise(frames, radius));
            assert_eq!(quality.noise.verdict, Verdict::Bad, "{radius}, {frames}: {quality:#?}");
        }
    }
}

#[test]
fn grey_texture_is_only_suspect() {
    let grey: Vec<u8> = blurred_noise(9, 1).chunks_exact(3).flat_map(|p| [p[0]; 3]).collect();
    assert_eq!(judge(&grey).noise.verdict, Verdict::Suspect);
}

#[test]
fn one_colour_is_caught() {
    for colour in [[0, 0, 0], [255, 255, 255], [127, 127, 127], [10, 200, 60]] {
        let quality = judge(&colour.repeat(9 * SIDE * SIDE));
        assert_eq!((quality.verdict, quality.flat.verdict), (Verdict::Bad, Verdict::Bad), "{quality:#?}");
        assert_eq!(quality.frozen.verdict, Verdict::Suspect);
        assert_eq!(quality.exposure.verdict == Verdict::Suspect, colour[0] == colour[1] && colour[0] != 127);
    }
    // Fading from black to white without anything in it is still flat.
    let fade: Vec<u8> = (0..9).flat_map(|k| vec![k * 28; SIDE * SIDE * 3]).collect();
    assert_eq!(judge(&fade).verdict, Verdict::Bad);
}

#[test]
fn checkerboards_are_caught() {
    for name in REAL {
        for (period, strength) in [(2, 3), (2, 6), (8, 6), (8, 12)] {
            let quality = judge(&with_checkerboard(clip(name), period, strength));
            assert!(quality.checkerboard.verdict >= Verdict::Suspect, "{name} {period} {strength}: {quality:#?}");
            assert!(quality.reasons.iter().any(|reason| reason.contains(&format!("{period} pixels"))));
        }
    }
}

#[test]
fn standstill_is_only_suspect() {
    let first = clip("red_circle")[..SIDE * SIDE * 3].to_vec();
    let quality = judge(&first.repeat(17));
    assert_eq!((quality.verdict, quality.frozen.verdict), (Verdict::Suspect, Verdict::Suspect));
    assert_eq!(quality.frozen.motion, Some(0.0));
    let single = judge(&first);
    assert_eq!((single.verdict, single.frozen.motion), (Verdict::Ok, None));
}

#[test]
fn sizes_down_to_one_pixel_have_a_verdict() {
    for (height, width) in [(1, 1), (1, 40), (40, 1), (16, 16), (31, 33)] {
        let data: Vec<u8> = (0..2 * height * width * 3).map(|i| (i * 7 % 256) as u8).collect();
        let quality = assess(&Frames::new(&data, 2, height, width).unwrap());
        let text = serde_json::to_string(&quality).unwrap();
        assert!(text.contains("\"verdict\":") && !text.contains("NaN"), "{text}");
    }
}
