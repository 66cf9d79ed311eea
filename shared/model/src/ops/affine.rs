//! What MLX packs, as f32 on all cores: in each group of a row, `scale · q + bias`.
//!
//! Rows follow one another without a gap, and so do their groups: a group is of whole words, and its integers lie one
//! after the other from the lowest bit of its first byte on, across bytes and words.

use std::array;

use rayon::prelude::*;
use wanfarm_weights::decode::{RUN, decode as plain};
use wanfarm_weights::encoding::Affine;

use crate::error::ModelError;

/// Integers that fill as many bytes as one of them has bits.
const OCTET: usize = 8;

/// The numbers of whole groups, from their packed integers and from the scale and the bias of each.
///
/// # Errors
/// Bytes that are no whole groups, or not as many as there are scales and biases.
pub(crate) fn decode(packed: &[u8], scales: &[u8], biases: &[u8], affine: Affine) -> Result<Vec<f32>, ModelError> {
    let Affine { bits, group, factors } = affine;
    let (scales, biases) = (plain(scales, factors)?, plain(biases, factors)?);
    if scales.len() != biases.len() || packed.len() != scales.len() * (group / OCTET * bits) {
        let why = format!("{} bytes are not {} and {} groups of it", packed.len(), scales.len(), biases.len());
        return Err(ModelError::input("packed matrix", why));
    }
    let unpack = match bits {
        2 => groups::<2>,
        3 => groups::<3>,
        4 => groups::<4>,
        5 => groups::<5>,
        6 => groups::<6>,
        8 => groups::<8>,
        _ => return Err(ModelError::input("packed matrix", format!("numbers of {bits} bits"))),
    };
    let mut numbers = vec![0f32; scales.len() * group];
    let runs =
        packed.par_chunks(RUN / OCTET * bits).zip(scales.par_chunks(RUN / group).zip(biases.par_chunks(RUN / group)));
    numbers
        .par_chunks_mut(RUN)
        .zip(runs)
        .for_each(|(numbers, (packed, factors))| unpack(numbers, packed, factors, group));
    Ok(numbers)
}

fn groups<const BITS: usize>(numbers: &mut [f32], packed: &[u8], (scales, biases): (&[f32], &[f32]), group: usize) {
    let groups = numbers.chunks_exact_mut(group).zip(packed.chunks_exact(group / OCTET * BITS));
    for ((numbers, packed), (&scale, &bias)) in groups.zip(scales.iter().zip(biases)) {
        for (numbers, bytes) in numbers.as_chunks_mut::<OCTET>().0.iter_mut().zip(packed.as_chunks::<BITS>().0) {
            let mut word = [0; OCTET];
            word[..BITS].copy_from_slice(bytes);
            let word = u64::from_le_bytes(word);
            // Of 32 bits with a sign: as such processors turn them into numbers several at a time.
            let integers: [i32; OCTET] = array::from_fn(|place| (word >> (place * BITS)) as i32 & ((1 << BITS) - 1));
            for (number, q) in numbers.iter_mut().zip(integers) {
                *number = scale * q as f32 + bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;

    /// Two groups, whose integers are counted up: the first has scale 1 and bias 0, the second 2 and −3.
    fn counted(bits: usize, group: usize) -> (Vec<u8>, [Vec<u8>; 2]) {
        let mut packed = vec![0u8; 2 * group * bits / 8];
        for bit in 0..2 * group * bits {
            let q = (bit / bits) % (1 << bits);
            packed[bit / 8] |= ((q >> (bit % bits) & 1) << (bit % 8)) as u8;
        }
        (packed, [[1f32, 2.], [0., -3.]].map(|pair| pair.iter().flat_map(|x| x.to_le_bytes()).collect()))
    }

    #[test]
    fn integers_follow_one_another_across_bytes_and_words() {
        for bits in Affine::BITS {
            for group in Affine::GROUPS {
                let (packed, [scales, biases]) = counted(bits, group);
                let affine = Affine { bits, group, factors: Dtype::F32 };
                let numbers = decode(&packed, &scales, &biases, affine).unwrap();
                let q = |i: usize| (i % (1 << bits)) as f32;
                let want = (0..2 * group).map(|i| if i < group { q(i) } else { 2. * q(i) - 3. });
                assert!(numbers.into_iter().eq(want), "{affine:?}");
            }
        }
    }

    #[test]
    fn long_matrices_are_decoded_in_order() {
        let affine = Affine { bits: 3, group: 64, factors: Dtype::F32 };
        let count = 2 * RUN / 64 + 3;
        let (packed, _) = counted(3, 64);
        let packed: Vec<u8> = packed.iter().copied().cycle().take(count * 24).collect();
        let factor = |i: usize| (i as f32).to_le_bytes();
        let scales: Vec<u8> = (0..count).flat_map(factor).collect();
        let numbers = decode(&packed, &scales, &scales, affine).unwrap();
        assert!(numbers.iter().enumerate().all(|(i, &x)| x == (i / 64) as f32 * (i % 8) as f32 + (i / 64) as f32));
        assert_eq!(numbers.len(), count * 64);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let (packed, [scales, biases]) = counted(4, 32);
        let affine = Affine { bits: 4, group: 32, factors: Dtype::F32 };
        assert!(decode(&packed, &scales, &biases, affine).is_ok());
        for (packed, biases) in [(&packed[1..], &biases[..]), (&packed[..], &biases[4..]), (&packed[..16], &biases[..])]
        {
            assert!(decode(packed, &scales, biases, affine).is_err());
        }
    }
}
