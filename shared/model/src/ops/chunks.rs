//! Work over the tokens in chunks, so that no intermediate grows with the length of the video.

use candle_core::Tensor;

use crate::error::ModelError;

/// Tokens per chunk of norms, projections and feed-forward layers.
pub const TOKENS: usize = 8192;

/// `(first, count)` of each chunk.
pub fn chunks(length: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..length).step_by(TOKENS).map(move |first| (first, TOKENS.min(length - first)))
}

/// A tensor put together from chunks along one dimension. Allocated once; not at all if the first chunk is everything.
#[derive(Debug)]
pub struct Gather {
    dim: usize,
    length: usize,
    out: Option<Tensor>,
}

impl Gather {
    /// Chunks will be put along `dim`, `length` rows in all.
    pub fn new(dim: usize, length: usize) -> Self {
        Self { dim, length, out: None }
    }

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
        assert_eq!(chunks(0).count(), 0);
        assert_eq!(chunks(80).collect::<Vec<_>>(), [(0, 80)]);
        assert_eq!(chunks(2 * TOKENS + 1).collect::<Vec<_>>(), [(0, TOKENS), (TOKENS, TOKENS), (2 * TOKENS, 1)]);
    }

    #[test]
    fn parts_make_the_whole() {
        let x = Tensor::arange(0f32, 24., &Device::Cpu).unwrap().reshape((2, 6, 2)).unwrap();
        let mut gather = Gather::new(1, 6);
        gather.put(0, &x.i((.., 0..4)).unwrap()).unwrap();
        gather.put(4, &x.i((.., 4..6)).unwrap()).unwrap();
        assert_eq!(gather.finish().unwrap().to_vec3::<f32>().unwrap(), x.to_vec3::<f32>().unwrap());
        assert!(Gather::new(0, 0).finish().is_err());
    }
}
