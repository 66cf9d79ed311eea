//! Whether frames come back in their order: it fits the clip better than the orders that faults lead to.

use super::frames::{Frames, squared_difference};
use crate::doctor::finding::{Limit, Measure};

/// Orders that faults lead to, as the frame of the clip that stands at a place.
const FAULTS: [fn(usize) -> usize; 5] = [
    // The two frames of the last doubling exchanged, those of the one before, and both.
    |t| if t == 0 { 0 } else { (t - 1) / 2 * 2 + 1 + t % 2 },
    |t| if t == 0 { 0 } else { (t - 1) / 4 * 4 + 1 + (t + 1) % 4 },
    |t| if t == 0 { 0 } else { (t - 1) / 4 * 4 + 1 + (4 - t % 4) % 4 },
    // A frame too many or too few at the start.
    |t| t.saturating_sub(1),
    |t| t + 1,
];

/// By how many dB the order fits better than the best of the faulty ones.
pub(super) fn check(decoded: &Frames, clip: &Frames) -> Measure {
    let off = |order: &dyn Fn(usize) -> usize| {
        let last = clip.0.len() - 1;
        let off = |(t, frame): (usize, &Vec<f64>)| squared_difference(frame, &clip.0[order(t).min(last)]);
        decoded.0.iter().enumerate().map(off).sum::<f64>()
    };
    let best = FAULTS.into_iter().map(|fault| off(&fault)).fold(f64::INFINITY, f64::min);
    let figure = if decoded.0.len() == clip.0.len() { 10. * (best / off(&|t| t)).log10() } else { f64::NAN };
    Measure {
        figure,
        limit: Limit::AtLeast(0.1),
        otherwise: "frames are out of order: the halves that a frame is doubled into are exchanged, time is halved in \
                    the wrong order, or a frame is lost or doubled at the start",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::demo;

    #[test]
    fn frames_out_of_order_are_caught() {
        let (vae, clip) = (demo::vae(), demo::clip());
        let decoded = Frames::decoded(vae.decoder(), &vae.encode(&clip).unwrap()).unwrap();
        let clip = Frames::of(&clip).unwrap();
        let right = check(&decoded, &clip);
        assert!(right.holds(), "{right:?}");
        let changed = |change: &dyn Fn(&mut [Vec<f64>])| {
            let mut frames = decoded.clone();
            change(&mut frames.0);
            check(&frames, &clip)
        };
        for wrong in [
            changed(&|frames| frames[1..].chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1))),
            changed(&|frames| frames[1..].chunks_exact_mut(4).for_each(|four| four.rotate_left(2))),
            changed(&|frames| frames[1..].chunks_exact_mut(4).for_each(|four| four.reverse())),
            changed(&|frames| frames.rotate_right(1)),
            changed(&|frames| frames.rotate_left(1)),
        ] {
            assert!(!wrong.holds(), "{wrong:?}");
        }
    }

    #[test]
    fn faulty_orders_are_what_they_say() {
        let orders = FAULTS.map(|fault| (0..9).map(fault).collect::<Vec<_>>());
        assert_eq!(orders[0], [0, 2, 1, 4, 3, 6, 5, 8, 7]);
        assert_eq!(orders[1], [0, 3, 4, 1, 2, 7, 8, 5, 6]);
        assert_eq!(orders[2], [0, 4, 3, 2, 1, 8, 7, 6, 5]);
    }
}
