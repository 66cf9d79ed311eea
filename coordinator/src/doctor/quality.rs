//! The quality gate on the small render, as findings.

use std::borrow::Cow;
use std::time::Instant;

use wanfarm_media::{Frames, MediaError, Verdict, assess};
use wanfarm_tools::doctor::{Finding, Outcome, Rendered, Section};

/// Judges the frames: one finding per check of the gate. What was rendered is asked to move, so stillness is a fault.
///
/// # Errors
/// The bytes are not those of that many frames.
pub fn judge(rendered: &Rendered) -> Result<Vec<Finding>, MediaError> {
    let started = Instant::now();
    let Rendered { frames, height, width, rgb } = rendered;
    let quality = assess(&Frames::new(rgb, *frames, *height, *width)?);
    let seconds = started.elapsed().as_secs_f64();
    let strongest = |patterns: [Option<f64>; 2]| patterns.into_iter().flatten().reduce(f64::max);
    let board = &quality.checkerboard;
    let checks = [
        ("flat", quality.flat.verdict, Some(quality.flat.contrast)),
        ("noise", quality.noise.verdict, Some(quality.noise.roughness)),
        ("checkerboard", board.verdict, strongest([board.amplitude_2px, board.amplitude_8px])),
        ("frozen", quality.frozen.verdict, quality.frozen.motion),
        ("exposure", quality.exposure.verdict, Some(quality.exposure.black.max(quality.exposure.white))),
    ];
    let finding = |(name, verdict, figure)| {
        let outcome = match verdict {
            Verdict::Ok => Outcome::Pass,
            Verdict::Suspect if name == "frozen" => Outcome::Fail,
            Verdict::Suspect => Outcome::Warn,
            Verdict::Bad => Outcome::Fail,
        };
        let reasons = quality.reasons.iter().filter(|reason| reason.starts_with(name)).map(String::as_str);
        let remark = reasons.collect::<Vec<_>>().join("; ");
        Finding {
            section: Section::Render,
            name: Cow::Borrowed(name),
            figure,
            limit: None,
            outcome,
            remark,
            seconds: 0.,
        }
    };
    let mut findings: Vec<Finding> = checks.into_iter().map(finding).collect();
    findings[0].seconds = seconds;
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 64;

    /// A clip of 9 frames, each pixel a function of frame, row and column.
    fn outcomes(pixel: impl Fn(usize, usize, usize) -> [u8; 3]) -> Vec<(String, Outcome)> {
        let mut rgb = Vec::new();
        for i in 0..9 * SIDE * SIDE {
            rgb.extend(pixel(i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE));
        }
        let findings = judge(&Rendered { frames: 9, height: SIDE, width: SIDE, rgb }).unwrap();
        findings.into_iter().map(|finding| (finding.name.into_owned(), finding.outcome)).collect()
    }

    /// A red disc on grey that has moved `t` steps.
    fn disc(t: usize, y: usize, x: usize) -> [u8; 3] {
        let (dy, dx) = (y as f64 - 30., x as f64 - 16. - 3. * t as f64);
        if dy.hypot(dx) < 10. { [220, 30, 30] } else { [120, 120, 120] }
    }

    /// Always the same numbers without a pattern.
    fn hash(t: usize, y: usize, x: usize) -> [u8; 3] {
        let seed = ((t * SIDE + y) * SIDE + x) as u64;
        let mixed = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5bf0_3635).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let [.., a, b, c] = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93).to_le_bytes();
        [a, b, c]
    }

    fn fails(outcomes: &[(String, Outcome)]) -> Vec<&str> {
        outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Fail).map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(fails(&outcomes(disc)), [""; 0]);
        assert_eq!(fails(&outcomes(hash)), ["noise"]);
        assert_eq!(fails(&outcomes(|_, y, x| disc(0, y, x))), ["frozen"]);
        assert!(fails(&outcomes(|_, _, _| [120; 3])).contains(&"flat"));
        let board = |period: usize| {
            move |t, y: usize, x: usize| {
                let wave = (y % period < period / 2) ^ (x % period < period / 2);
                disc(t, y, x).map(|sample| if wave { sample.saturating_add(9) } else { sample.saturating_sub(9) })
            }
        };
        assert_eq!(fails(&outcomes(board(2))), ["checkerboard"]);
        assert_eq!(fails(&outcomes(board(8))), ["checkerboard"]);
    }

    #[test]
    fn frames_that_are_none_are_refused() {
        assert!(judge(&Rendered { frames: 2, height: 2, width: 2, rgb: vec![0; 3] }).is_err());
    }
}
