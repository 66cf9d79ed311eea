//! RGB to the planes a video encoder takes: BT.709 matrix, limited range, 4:2:0.
//!
//! Fixed point, so that the planes are the same on every machine. No other matrix is offered on purpose: the file
//! is tagged with this one.

/// Fraction bits of the coefficients.
const BITS: u32 = 16;
/// Rows of the BT.709 matrix (Kr = 0.2126, Kb = 0.0722) scaled to limited range: 219/255 for luma, 224/255 for chroma.
const LUMA: [i32; 3] = [11_966, 40_254, 4_064];
const BLUE: [i32; 3] = [-6_596, -22_189, 28_785];
const RED: [i32; 3] = [28_784, -26_145, -2_639];

/// One picture in planar 4:2:0.
pub(crate) struct Planes {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) y: Vec<u8>,
    pub(crate) cb: Vec<u8>,
    pub(crate) cr: Vec<u8>,
}

impl Planes {
    /// Planes for an even size.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let chroma = width / 2 * (height / 2);
        Self { width, height, y: vec![0; width * height], cb: vec![0; chroma], cr: vec![0; chroma] }
    }

    /// Converts one RGB frame. Chroma samples sit on the left pixel of each pair and between its two rows, where
    /// H.264 puts them unless told otherwise; hence weights 1-2-1 across and 1-1 down.
    pub(crate) fn fill(&mut self, rgb: &[u8]) {
        let stride = self.width * 3;
        for (out, pixel) in self.y.iter_mut().zip(rgb.chunks_exact(3)) {
            let pixel = [pixel[0], pixel[1], pixel[2]].map(i32::from);
            *out = ((dot(LUMA, pixel) + (16 << BITS) + (1 << (BITS - 1))) >> BITS) as u8;
        }
        let half = self.width / 2;
        for (row, rows) in rgb.chunks_exact(2 * stride).enumerate() {
            let (top, bottom) = rows.split_at(stride);
            for column in 0..half {
                let centre = column * 6;
                let left = centre.saturating_sub(3);
                let sum = [0, 1, 2].map(|channel| {
                    let at = |line: &[u8]| {
                        i32::from(line[left + channel])
                            + 2 * i32::from(line[centre + channel])
                            + i32::from(line[centre + 3 + channel])
                    };
                    at(top) + at(bottom)
                });
                // The eight weights add three bits.
                let chroma = |row: [i32; 3]| {
                    ((dot(row, sum) + (128 << (BITS + 3)) + (1 << (BITS + 2))) >> (BITS + 3)).clamp(16, 240) as u8
                };
                self.cb[row * half + column] = chroma(BLUE);
                self.cr[row * half + column] = chroma(RED);
            }
        }
    }
}

fn dot(row: [i32; 3], pixel: [i32; 3]) -> i32 {
    row[0] * pixel[0] + row[1] * pixel[1] + row[2] * pixel[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solid(rgb: [u8; 3]) -> [u8; 3] {
        let mut planes = Planes::new(4, 2);
        planes.fill(&rgb.repeat(8));
        assert!(planes.y.iter().all(|&y| y == planes.y[0]));
        assert!(planes.cb.iter().all(|&c| c == planes.cb[0]));
        [planes.y[0], planes.cb[0], planes.cr[0]]
    }

    /// Values of the standard's colour bars; BT.601 gives 81, 90, 240 for red.
    #[test]
    fn primaries_as_in_the_standard() {
        assert_eq!(solid([0, 0, 0]), [16, 128, 128]);
        assert_eq!(solid([255, 255, 255]), [235, 128, 128]);
        assert_eq!(solid([255, 0, 0]), [63, 102, 240]);
        assert_eq!(solid([0, 255, 0]), [173, 42, 26]);
        assert_eq!(solid([0, 0, 255]), [32, 240, 118]);
        for grey in 0..=255 {
            assert_eq!(solid([grey; 3])[1..], [128, 128], "grey {grey}");
        }
    }

    #[test]
    fn chroma_sits_on_the_left_pixel() {
        // Black, red, black, black: the first pair sees a quarter of the red, the second another quarter.
        let row = [[0, 0, 0], [255, 0, 0], [0, 0, 0], [0, 0, 0]].concat();
        let mut planes = Planes::new(4, 2);
        planes.fill(&row.repeat(2));
        assert_eq!(planes.cr, [156, 156]);
    }
}
