//! The size of a video that starts from an image: about an asked area, with the image's aspect, on the model's grid.
//!
//! Not here: frame counts, and whether the result is a size that anyone wants to render; both are
//! [`Geometry`](crate::Geometry)'s. Where the reference fails on an extreme aspect (a side of zero), a side is one step.

/// Pixels that sizes of I2V-A14B are multiples of.
const I2V_STEP: u32 = 16;
/// Pixels that sizes of TI2V-5B are multiples of.
const TI2V_STEP: u32 = 32;

/// The size I2V-A14B renders an image at.
///
/// # Units
/// Pixels; (width, height).
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L260` `WanI2V.generate`.
pub fn i2v_size(area: u32, image_width: u32, image_height: u32) -> (u32, u32) {
    let aspect = f64::from(image_height.max(1)) / f64::from(image_width.max(1));
    let area = f64::from(area);
    (on_grid((area / aspect).sqrt(), I2V_STEP), on_grid((area * aspect).sqrt(), I2V_STEP))
}

/// The size TI2V-5B renders an image at: of the two that come from fixing one side first, the one nearer in aspect.
///
/// # Units
/// Pixels; (width, height).
///
/// Source: Wan2.2@42bf4cf `wan/utils/utils.py#L202` `best_output_size`.
pub fn ti2v_size(area: u32, image_width: u32, image_height: u32) -> (u32, u32) {
    let aspect = f64::from(image_width.max(1)) / f64::from(image_height.max(1));
    let area = f64::from(area);
    let width = (area * aspect).sqrt();
    let rest = |side: u32| on_grid(area / f64::from(side), TI2V_STEP);

    let by_width = on_grid(width, TI2V_STEP);
    let by_width = (by_width, rest(by_width));
    let by_height = on_grid(area / width, TI2V_STEP);
    let by_height = (rest(by_height), by_height);

    let off = |(width, height): (u32, u32)| {
        let ratio = f64::from(width) / f64::from(height);
        (aspect / ratio).max(ratio / aspect)
    };
    if off(by_width) < off(by_height) { by_width } else { by_height }
}

/// The last multiple of `step` that is not above `side`, and at least one step. `step` is a power of two, so dividing
/// by it is exact, and one division is as good as the reference's several.
fn on_grid(side: f64, step: u32) -> u32 {
    let steps = (side / f64::from(step)).floor().max(1.);
    // A float beyond the integers becomes the largest one; such a size is refused where sizes are.
    (steps as u32).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_the_aspect_and_floor_to_the_grid() {
        assert_eq!(i2v_size(1280 * 720, 1280, 720), (1280, 720));
        assert_eq!(i2v_size(832 * 480, 1280, 720), (832, 464), "not rounded up to 480");
        // The aspect is rounded before it is used, and 479.99… pixels are 464 on the grid; turned, they are 480.
        assert_eq!(i2v_size(832 * 480, 832, 480), (832, 464));
        assert_eq!(i2v_size(832 * 480, 480, 832), (480, 832));
        assert_eq!(ti2v_size(1280 * 704, 1280, 720), (1248, 704));
        assert_eq!(ti2v_size(832 * 480, 1, 1), (640, 608), "a tie goes to the height");
    }

    #[test]
    fn extreme_images_have_a_size_too() {
        for (width, height) in [(1, 16_384), (16_384, 1), (0, 0), (u32::MAX, 1)] {
            for area in [0, 1, 512, 8192 * 8192, u32::MAX] {
                let (w, h) = i2v_size(area, width, height);
                assert!(w >= 16 && h >= 16 && w % 16 == 0 && h % 16 == 0, "{w}x{h}");
                let (w, h) = ti2v_size(area, width, height);
                assert!(w >= 32 && h >= 32 && w % 32 == 0 && h % 32 == 0, "{w}x{h}");
            }
        }
    }
}
