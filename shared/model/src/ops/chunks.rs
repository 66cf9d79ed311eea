//! Work over the tokens in chunks, so that no intermediate grows with the length of the video.

use candle_core::Tensor;

use crate::error::ModelError;

/// Tokens per chunk of norms, projections and feed-forward layers.
pub const TOKENS: usize = 8192;

/// Elements of the widest layer of a chunk on Apple GPUs, where every chunk costs its launches and main memory is at
/// hand: 1 GiB in bf16. Of the published models, 81 frames at 480p are one chunk.
const METAL_ELEMENTS: usize = 1 << 29;

/// Tokens per chunk for layers of up to `width` channels.
pub fn tokens_per_chunk(width: usize, metal: bool) -> usize {
    if metal { (METAL_ELEMENTS / width.max(1)).max(TOKENS) } else { TOKENS }
}

/// A number of tokens, to be worked over a chunk at a time.
#[derive(Debug, Clone, Copy)]
pub struct Chunks {
    length: usize,
    size: usize,
}

impl Chunks {
    /// `length` tokens in chunks of `size`.
    pub fn new(length: usize, size: usize) -> Self {
        Self { length, size: size.max(1) }
    }

    /// `(first, count)` of each chunk.
    pub fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.length).step_by(self.size).map(move |first| (first, self.size.min(self.length - first)))
    }

    /// Results of the chunks are to be put together along `dim`.
    pub fn gather(self, dim: usize) -> Gather {
        Gather { dim, length: self.length, out: None }
    }
}

/// A tensor put together from chunks along one dimension. Allocated once; not at all if the first chunk is everything.
#[derive(Debug)]
pub struct Gather {
    dim: usize,
    length: usize,
    out: Option<Tensor>,
}

impl Gather {
    /// Puts a chunk at row `first`.
    ///
    /// # Errors
    /// A chunk that does not fit, or a device out of memory.
    pub fn put(&mut self, first: usize, chunk: &Tensor) -> Result<(), ModelError> {
        if chunk.dim(self.dim)? == self.length {
            self.out = Some(chunk.clone());
            return Ok(());
        }
        let out = match &mut self.out {
            Some(out) => out,
            none => {
                let mut shape = chunk.dims().to_vec();
                shape[self.dim] = self.length;
                none.insert(Tensor::zeros(shape, chunk.dtype(), chunk.device())?)
            }
        };
        Ok(out.slice_set(&chunk.contiguous()?, self.dim, first)?)
    }

    /// The whole.
    ///
    /// # Errors
    /// Nothing was put.
    pub fn finish(self) -> Result<Tensor, ModelError> {
        self.out.ok_or_else(|| ModelError::input("tokens", "there are none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, IndexOp};

    #[test]
    fn chunks_cover_everything_once() {
        let all = |length, size| Chunks::new(length, size).iter().collect::<Vec<_>>();
        assert_eq!(all(0, 4), []);
        assert_eq!(all(3, 4), [(0, 3)]);
        assert_eq!(all(9, 4), [(0, 4), (4, 4), (8, 1)]);
    }

    #[test]
    fn parts_make_the_whole() {
        let x = Tensor::arange(0f32, 24., &Device::Cpu).unwrap().reshape((2, 6, 2)).unwrap();
        let chunks = Chunks::new(6, 4);
        let mut gather = chunks.gather(1);
        for (first, count) in chunks.iter() {
            gather.put(first, &x.i((.., first..first + count)).unwrap()).unwrap();
        }
        assert_eq!(gather.finish().unwrap().to_vec3::<f32>().unwrap(), x.to_vec3::<f32>().unwrap());
        assert!(Chunks::new(0, 4).gather(0).finish().is_err());
    }
}
