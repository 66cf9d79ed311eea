//! Structural similarity of two pictures, as its authors define it: an 11x11 Gaussian window of σ = 1.5, moved over
//! every place where it fits, on the luma (0.299 R + 0.587 G + 0.114 B, of the stored values).
//!
//! Not here: its multi-scale and other variants. The crates that compute one of this name do so over 8x8 blocks or in
//! another colour space, which gives other figures than papers print.
//!
//! Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment" (IEEE TIP 13(4), 2004), section III.

/// Pixels a side of the window.
pub(crate) const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;
/// (0.01 · 255)² and (0.03 · 255)²: what keeps flat places from dividing by nothing.
const C1: f64 = 2.55 * 2.55;
const C2: f64 = 7.65 * 7.65;

/// Mean structural similarity of two RGB pictures of one size, at least [`WINDOW`] pixels a side: 1 for equal ones.
pub(crate) fn ssim(left: &[u8], right: &[u8], width: usize, height: usize) -> f64 {
    let (x, y) = (luma(left), luma(right));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>();
    let mean = |plane: &[f64]| filtered(plane, width, height);
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let (xx, yy, xy) = (mean(&product(&x, &x)), mean(&product(&y, &y)), mean(&product(&x, &y)));
    let places = mean_x.len();
    let at = |i: usize| {
        let (ux, uy) = (mean_x[i], mean_y[i]);
        let (vx, vy, vxy) = (xx[i] - ux * ux, yy[i] - uy * uy, xy[i] - ux * uy);
        ((2.0 * ux * uy + C1) * (2.0 * vxy + C2)) / ((ux * ux + uy * uy + C1) * (vx + vy + C2))
    };
    (0..places).map(at).sum::<f64>() / places as f64
}

fn luma(rgb: &[u8]) -> Vec<f64> {
    let (pixels, _) = rgb.as_chunks::<3>();
    pixels.iter().map(|[r, g, b]| 0.299 * f64::from(*r) + 0.587 * f64::from(*g) + 0.114 * f64::from(*b)).collect()
}

/// The window's weighted mean at every place where it fits, row by row.
fn filtered(plane: &[f64], width: usize, height: usize) -> Vec<f64> {
    let window = window();
    let columns = width + 1 - WINDOW;
    let across: Vec<f64> = (plane.chunks_exact(width))
        .flat_map(|row| row.windows(WINDOW).map(|part| part.iter().zip(&window).map(|(v, w)| v * w).sum::<f64>()))
        .collect();
    let mut out = vec![0.0; columns * (height + 1 - WINDOW)];
    for (row, out) in out.chunks_exact_mut(columns).enumerate() {
        for (weight, line) in window.iter().zip(across[row * columns..].chunks_exact(columns)) {
            out.iter_mut().zip(line).for_each(|(out, value)| *out += weight * value);
        }
    }
    out
}

/// The weights along one side; the window is their product with themselves.
fn window() -> [f64; WINDOW] {
    let mut weights = [0.0; WINDOW];
    for (offset, weight) in (-(WINDOW as i32 / 2)..).zip(&mut weights) {
        *weight = (-f64::from(offset * offset) / (2.0 * SIGMA * SIGMA)).exp();
    }
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a picture that anybody can draw again.
    fn picture(width: usize, height: usize, salt: usize) -> Vec<u8> {
        let value = |i: usize| {
            let (pixel, channel) = (i / 3, i % 3);
            let (x, y) = (pixel % width, pixel / width);
            (x * (5 + salt) + y * (3 + channel * salt) + x * y % (7 + salt)) % 256
        };
        (0..width * height * 3).map(|i| value(i) as u8).collect()
    }

    /// Figures of scikit-image 0.26: `structural_similarity(x, y, gaussian_weights=True, sigma=1.5,
    /// use_sample_covariance=False, data_range=255)` of the same luma in f64.
    #[test]
    fn figures_of_the_reference_implementation() {
        for (size, salts, want) in FIGURES {
            let [width, height] = size;
            let [left, right] = salts.map(|salt| picture(width, height, salt));
            let got = ssim(&left, &right, width, height);
            assert!((got - want).abs() < 1e-9, "{size:?} {salts:?}: {got} is not {want}");
        }
    }

    const FIGURES: [([usize; 2], [usize; 2], f64); 4] = [
        ([11, 11], [0, 1], 0.9148682798996457),
        ([24, 17], [0, 1], 0.9222340191032637),
        ([40, 33], [2, 3], 0.3213514953330251),
        ([17, 24], [1, 1], 1.0),
    ];

    #[test]
    fn noise_costs_more_than_a_shift_of_brightness() {
        let left = picture(32, 32, 1).iter().map(|v| v / 2 + 40).collect::<Vec<u8>>();
        let brighter: Vec<u8> = left.iter().map(|v| v + 10).collect();
        let noisy: Vec<u8> = left.iter().enumerate().map(|(i, v)| if i % 2 == 0 { v + 10 } else { v - 10 }).collect();
        let (brighter, noisy) = (ssim(&left, &brighter, 32, 32), ssim(&left, &noisy, 32, 32));
        assert!(noisy < brighter && brighter < 1.0, "{noisy} {brighter}");
    }
}
