//! What is seen in a clip of one flat shape on a plain background: colour, background and motion, from its pixels.
//!
//! The same statistics that judged the demo model in training (`deploy/demo/train/evaluate.py`).

/// A clip: frames of RGB bytes.
#[derive(Debug, Clone)]
pub(crate) struct Clip {
    /// Frames, height, width.
    pub(crate) shape: [usize; 3],
    /// `[F, H, W, 3]`.
    pub(crate) rgb: Vec<u8>,
}

/// What the pixels show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Colour of the shape, or `none`.
    pub(crate) colour: &'static str,
    /// Colour of the background.
    pub(crate) background: &'static str,
    /// `left`, `right`, `up`, `down`, `still` (in place, whatever its size does), or `none`.
    pub(crate) motion: &'static str,
}

const COLOURS: [(&str, [f64; 3]); 9] = [
    ("red", [220.0, 30.0, 35.0]),
    ("green", [30.0, 165.0, 60.0]),
    ("blue", [35.0, 75.0, 225.0]),
    ("yellow", [250.0, 215.0, 35.0]),
    ("purple", [150.0, 45.0, 190.0]),
    ("orange", [245.0, 125.0, 15.0]),
    ("black", [10.0, 10.0, 10.0]),
    ("white", [245.0, 245.0, 245.0]),
    ("gray", [128.0, 128.0, 128.0]),
];

/// Distance in 0..1 colour space from which a pixel is no background.
const FOREGROUND: f64 = 0.22 * 255.0;

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn nearest(colour: [f64; 3], but: &str) -> &'static str {
    let candidates = COLOURS.iter().filter(|(name, _)| *name != but);
    let closest = candidates.min_by(|a, b| distance(a.1, colour).total_cmp(&distance(b.1, colour)));
    closest.map_or("none", |(name, _)| name)
}

fn median(pixels: &mut [[f64; 3]]) -> [f64; 3] {
    std::array::from_fn(|channel| {
        pixels.sort_by(|a, b| a[channel].total_cmp(&b[channel]));
        pixels.get(pixels.len() / 2).map_or(0.0, |pixel| pixel[channel])
    })
}

impl Clip {
    fn at(&self, frame: usize, y: usize, x: usize) -> [f64; 3] {
        let [_, height, width] = self.shape;
        let offset = ((frame * height + y) * width + x) * 3;
        std::array::from_fn(|channel| f64::from(self.rgb[offset + channel]))
    }

    /// Says what it shows.
    pub(crate) fn judge(&self) -> Seen {
        let [frames, height, width] = self.shape;
        let places =
            || (0..frames).flat_map(move |f| (0..height).flat_map(move |y| (0..width).map(move |x| (f, y, x))));
        let near_edge = |y: usize, x: usize| y < 2 || x < 2 || y >= height - 2 || x >= width - 2;
        let mut border: Vec<_> =
            places().filter(|&(_, y, x)| near_edge(y, x)).map(|(f, y, x)| self.at(f, y, x)).collect();
        let ground = median(&mut border);
        let background = nearest(ground, "");
        let mask = |f, y, x| distance(self.at(f, y, x), ground) > FOREGROUND;
        let mut seen = Seen { colour: "none", background, motion: "none" };

        // Area and centre of the foreground, frame by frame.
        let mut area = vec![0.0; frames];
        let mut centre = vec![[0.0; 2]; frames];
        for (f, y, x) in places().filter(|&(f, y, x)| mask(f, y, x)) {
            area[f] += 1.0;
            centre[f][0] += x as f64;
            centre[f][1] += y as f64;
        }
        if area.iter().any(|&area| area < 20.0) {
            return seen;
        }
        for (centre, area) in centre.iter_mut().zip(&area) {
            centre.iter_mut().for_each(|sum| *sum /= area);
        }

        // Colour: pixels whose four neighbours are foreground too; edges are mixed with the background.
        let inside = |f, y: usize, x: usize| {
            !near_edge(y, x)
                && mask(f, y, x)
                && mask(f, y - 1, x)
                && mask(f, y + 1, x)
                && mask(f, y, x - 1)
                && mask(f, y, x + 1)
        };
        let mut inner: Vec<_> =
            places().filter(|&(f, y, x)| inside(f, y, x)).map(|(f, y, x)| self.at(f, y, x)).collect();
        if inner.len() <= 50 {
            inner = places().filter(|&(f, y, x)| mask(f, y, x)).map(|(f, y, x)| self.at(f, y, x)).collect();
        }
        seen.colour = nearest(median(&mut inner), background);

        let mean = |range: std::ops::Range<usize>, axis: usize| {
            range.clone().map(|f| centre[f][axis]).sum::<f64>() / range.len() as f64
        };
        let [dx, dy] = [0, 1].map(|axis| mean(frames - 3..frames, axis) - mean(0..3, axis));
        seen.motion = match (dx.abs().max(dy.abs()) > 9.0, dx.abs() > dy.abs()) {
            (false, _) => "still",
            (true, true) if dx > 0.0 => "right",
            (true, true) => "left",
            (true, false) if dy > 0.0 => "down",
            (true, false) => "up",
        };
        seen
    }

    /// Peak signal-to-noise ratio against another clip of the same shape, in decibel.
    pub(crate) fn psnr(&self, other: &Clip) -> f64 {
        assert_eq!(self.shape, other.shape, "clips of different shape");
        let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
        let error = self.rgb.iter().zip(&other.rgb).map(square).sum::<f64>() / self.rgb.len() as f64;
        10.0 * (255.0 * 255.0 / error).log10()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving_square(colour: [u8; 3], ground: [u8; 3], step: [i64; 2]) -> Clip {
        let shape = [17, 64, 64];
        let mut rgb = Vec::new();
        for f in 0..17i64 {
            let (cx, cy) = (32 + step[0] * (f - 8), 32 + step[1] * (f - 8));
            for y in 0..64i64 {
                for x in 0..64i64 {
                    let inside = (x - cx).abs() < 9 && (y - cy).abs() < 9;
                    rgb.extend(if inside { colour } else { ground });
                }
            }
        }
        Clip { shape, rgb }
    }

    #[test]
    fn drawn_clips_are_read_right() {
        for (colour, rgb) in [("red", [220, 30, 35]), ("yellow", [250, 215, 35]), ("purple", [150, 45, 190])] {
            for (background, ground) in [("black", [10, 10, 10]), ("white", [245, 245, 245]), ("gray", [128, 128, 128])]
            {
                for (motion, step) in
                    [("left", [-1, 0]), ("right", [1, 0]), ("up", [0, -1]), ("down", [0, 1]), ("still", [0, 0])]
                {
                    let seen = moving_square(rgb, ground, step).judge();
                    assert_eq!(seen, Seen { colour, background, motion });
                }
            }
        }
    }

    #[test]
    fn an_empty_clip_shows_nothing() {
        let clip = moving_square([10, 10, 10], [10, 10, 10], [0, 0]);
        assert_eq!(clip.judge(), Seen { colour: "none", background: "black", motion: "none" });
    }

    #[test]
    fn psnr_of_one_level_everywhere() {
        let a = moving_square([10, 10, 10], [10, 10, 10], [0, 0]);
        let b = Clip { shape: a.shape, rgb: a.rgb.iter().map(|v| v + 1).collect() };
        assert!((a.psnr(&b) - 48.13).abs() < 0.01);
        assert_eq!(a.psnr(&a), f64::INFINITY);
    }
}
