//! How like itself a clip comes back from its latents.

use super::frames::{Frames, squared_difference};
use crate::doctor::finding::{Limit, Measure};

/// Peak signal-to-noise ratio in dB over all frames.
pub(super) fn check(decoded: &Frames, clip: &Frames) -> Measure {
    // Pixels span 2, from −1 to 1.
    let figure = match decoded.0.len() == clip.0.len() {
        true => 10. * (4. / squared_difference(&decoded.values(), &clip.values())).log10(),
        false => f64::NAN,
    };
    Measure {
        figure,
        limit: Limit::AtLeast(20.),
        otherwise: "a clip does not survive encoding and decoding: weights are missing or zero, frames are lost, or a \
                    layer of the autoencoder is wrong",
    }
}

/// Largest difference of a colour's mean, in levels of 255.
pub(super) fn check_level(decoded: &Frames, clip: &Frames) -> Measure {
    let mean = |frames: &Frames, channel: usize| {
        let values = frames.values();
        values.iter().skip(channel).step_by(3).sum::<f64>() / (values.len() / 3) as f64
    };
    let off = (0..3).map(|channel| (mean(decoded, channel) - mean(clip, channel)).abs() * 127.5);
    Measure {
        figure: off.fold(0., |worst, off| if off <= worst { worst } else { off }),
        limit: Limit::AtMost(10.),
        otherwise: "frames come back tinted, brighter or darker: look at the latents' means and deviations, and at the \
                    order of channels",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::clip::{Size, clip};

    #[test]
    fn grey_frames_and_lost_frames_are_caught() {
        let clip = Frames::of(&clip(Size { frames: 5, height: 32, width: 32 }).unwrap()).unwrap();
        let changed =
            |f: &dyn Fn(f64) -> f64| Frames(clip.0.iter().map(|frame| frame.iter().map(|&x| f(x)).collect()).collect());
        let near = changed(&|x| x * 0.98);
        assert!(check(&near, &clip).holds() && check_level(&near, &clip).holds());
        assert!(!check(&changed(&|_| 0.), &clip).holds());
        assert!(!check_level(&changed(&|x| x + 0.1), &clip).holds());
        assert!(!check(&Frames(clip.0[..4].to_vec()), &clip).holds());
        assert!(!check(&changed(&|_| f64::NAN), &clip).holds());
    }
}
