//! Work over a frame in bands of rows or in tiles, so that what is computed and used again right away stays in a core's
//! cache, and no intermediate is as large as the frame.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::ModelError;

/// Elements of a band of the result on the CPU, where each band is one core's. candle starts to share element-wise work
/// between cores at twice as many, by spinning threads, which several workers on one machine pay dearly for.
const CPU_BAND: usize = 1 << 15;
/// The same on a GPU: enough to keep it busy, few enough that no buffer meets a 32-bit index.
const GPU_BAND: usize = 1 << 24;
/// Rows of a tile narrower than the frame. Neighbours share some rows of their input; more rows share less.
const TILE_ROWS: usize = 8;

/// A rectangle of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// A frame put together from bands: `band(top, rows)` computes rows `top..top + rows` of it.
///
/// # Shapes
/// `shape` is `(height, width, channels)` of the result in f32; a band is `(rows, width, channels)`.
///
/// # Errors
/// Those of `band`, or a device out of memory.
pub(crate) fn by_bands(
    shape: (usize, usize, usize),
    device: &Device,
    band: impl Fn(usize, usize) -> Result<Tensor, ModelError> + Sync,
) -> Result<Tensor, ModelError> {
    let (_, width, channels) = shape;
    let rows = tile_elements(device.is_cpu()) / (width * channels).max(1);
    assemble(shape, (rows, width), device, |tile| band(tile.top, tile.height))
}

/// A frame put together from tiles, for work that reads beyond the pixels it writes: unlike a band, a tile of a wide
/// frame has several rows. Tiles are sized for `channels` per pixel, which may be more than the result's.
///
/// # Shapes
/// `shape` is `(height, width, channels)` of the result in f32; a tile is `(tile.height, tile.width, channels)`.
///
/// # Errors
/// Those of `tile`, or a device out of memory.
pub(crate) fn by_tiles(
    shape: (usize, usize, usize),
    channels: usize,
    device: &Device,
    tile: impl Fn(Tile) -> Result<Tensor, ModelError> + Sync,
) -> Result<Tensor, ModelError> {
    let pixels = tile_elements(device.is_cpu()) / channels.max(1);
    let columns = (pixels / TILE_ROWS).clamp(1, shape.1.max(1));
    assemble(shape, (pixels / columns, columns), device, tile)
}

/// Elements of a band or a tile.
pub(crate) fn tile_elements(cpu: bool) -> usize {
    if cpu { CPU_BAND } else { GPU_BAND }
}

/// A frame from tiles of `(rows, columns)`, fewer at its right and bottom.
fn assemble(
    (height, width, channels): (usize, usize, usize),
    (rows, columns): (usize, usize),
    device: &Device,
    tile: impl Fn(Tile) -> Result<Tensor, ModelError> + Sync,
) -> Result<Tensor, ModelError> {
    let (rows, columns) = (rows.max(1), columns.max(1));
    if rows >= height && columns >= width {
        return tile(Tile { top: 0, left: 0, height, width });
    }
    let whole = Tensor::zeros((height, width, channels), DType::F32, device)?;
    let across = width.div_ceil(columns);
    let put = |index| -> Result<(), ModelError> {
        let (top, left) = (index / across * rows, index % across * columns);
        let place = Tile { top, left, height: rows.min(height - top), width: columns.min(width - left) };
        Ok(whole.narrow(0, top, place.height)?.slice_set(&tile(place)?.contiguous()?, 1, left)?)
    };
    let count = height.div_ceil(rows) * across;
    // One thread feeds a GPU.
    if device.is_cpu() {
        (0..count).into_par_iter().try_for_each(put)?;
    } else {
        (0..count).try_for_each(put)?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(frame: &Tensor, tile: Tile) -> Result<Tensor, ModelError> {
        Ok(frame.narrow(0, tile.top, tile.height)?.narrow(1, tile.left, tile.width)?)
    }

    #[test]
    fn tiles_make_the_frame() {
        let frame = Tensor::arange(0f32, 70., &Device::Cpu).unwrap().reshape((7, 5, 2)).unwrap();
        for size in [(0, 0), (1, 1), (1, 5), (2, 5), (2, 2), (3, 4), (7, 2), (7, 5), (9, 9)] {
            let whole = assemble((7, 5, 2), size, &Device::Cpu, |tile| cut(&frame, tile)).unwrap();
            assert_eq!(whole.to_vec3::<f32>().unwrap(), frame.to_vec3::<f32>().unwrap(), "{size:?}");
        }
        let refused = assemble((7, 5, 2), (2, 5), &Device::Cpu, |tile| {
            if tile.top == 4 { Err(ModelError::input("frame", "no")) } else { cut(&frame, tile) }
        });
        assert!(refused.is_err());
    }

    #[test]
    fn pieces_are_as_large_as_they_may_be() {
        // 64 channels leave 512 pixels: bands of a row where rows are that long, tiles of eight.
        let frame = Tensor::zeros((20, 400, 64), DType::F32, &Device::Cpu).unwrap();
        let seen = std::sync::Mutex::new(Vec::new());
        let see = |tile| {
            seen.lock().unwrap().push(tile);
            cut(&frame, tile)
        };
        by_tiles((20, 400, 64), 64, &Device::Cpu, see).unwrap();
        by_bands((20, 400, 64), &Device::Cpu, |top, height| see(Tile { top, left: 0, height, width: 400 })).unwrap();
        let seen = seen.into_inner().unwrap();
        let count = |height, width| seen.iter().filter(|tile| (tile.height, tile.width) == (height, width)).count();
        assert_eq!((count(8, 64), count(8, 16), count(4, 64), count(4, 16)), (12, 2, 6, 1));
        assert_eq!((count(1, 400), seen.len()), (20, 41));
    }
}
