//! Which numbers the tensors between stages may hold. Whoever makes one refuses others before it is passed on, whoever reads
//! one before anything is computed with it, and the coordinator before a copy of it counts: a number that is not finite
//! spreads into all that is made of it, and so does one so large that the next network overflows.

use wanfarm_types::DType;

/// Latents, velocities and texts stay thousands of times below it, and no network overflows on it in f32 or bf16.
pub const LARGEST: f32 = 1e6;

/// A number that nothing can be computed with.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("its number {index} is {value}, where none is beyond ±{LARGEST:e}")]
pub struct Unsound {
    /// Its place in the tensor, from 0.
    pub index: u64,
    /// What it is.
    pub value: f32,
}

/// True when all of these can be computed with.
pub fn are_sound(values: &[f32]) -> bool {
    // Without a way out in the middle, so that many are looked at at once. NaN is not less than anything.
    values.iter().fold(true, |sound, value| sound & (value.abs() <= LARGEST))
}

/// Looks at the bytes of one tensor as they come, cut anywhere.
#[derive(Debug, Clone)]
pub struct Examination {
    dtype: DType,
    /// The beginning of a number whose end has not come yet.
    begun: Vec<u8>,
    /// Numbers seen.
    seen: u64,
}

impl Examination {
    /// Of a tensor of this type; one of bytes is always sound.
    pub fn of(dtype: DType) -> Self {
        Self { dtype, begun: Vec::new(), seen: 0 }
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// The first number among them that nothing can be computed with.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Unsound> {
        match self.dtype {
            DType::U8 => Ok(()),
            DType::F32 => self.numbers(bytes, f32::from_le_bytes),
            DType::Bf16 => self.numbers(bytes, |half| f32::from_bits(u32::from(u16::from_le_bytes(half)) << 16)),
        }
    }

    fn numbers<const SIZE: usize>(&mut self, bytes: &[u8], number: fn([u8; SIZE]) -> f32) -> Result<(), Unsound> {
        let missing = if self.begun.is_empty() { 0 } else { SIZE - self.begun.len() };
        let (end, rest) = bytes.split_at(missing.min(bytes.len()));
        self.begun.extend_from_slice(end);
        if let Ok(whole) = self.begun[..].try_into() {
            self.look(&[whole], number)?;
            self.begun.clear();
        }
        let (whole, begun) = rest.as_chunks();
        self.look(whole, number)?;
        self.begun.extend_from_slice(begun);
        Ok(())
    }

    fn look<const SIZE: usize>(
        &mut self,
        numbers: &[[u8; SIZE]],
        number: fn([u8; SIZE]) -> f32,
    ) -> Result<(), Unsound> {
        let is_sound = |bytes: &[u8; SIZE]| number(*bytes).abs() <= LARGEST;
        if !numbers.iter().fold(true, |sound, bytes| sound & is_sound(bytes))
            && let Some((index, bytes)) = (self.seen..).zip(numbers).find(|(_, bytes)| !is_sound(bytes))
        {
            return Err(Unsound { index, value: number(*bytes) });
        }
        self.seen += numbers.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examine(dtype: DType, bytes: &[u8], piece: usize) -> Result<(), Unsound> {
        let mut examination = Examination::of(dtype);
        bytes.chunks(piece).try_for_each(|piece| examination.read(piece))
    }

    #[test]
    fn wherever_a_tensor_is_cut_the_number_is_named() {
        let good = [0.0, -0.0, 1.5, -LARGEST, LARGEST, f32::MIN_POSITIVE, 7.25];
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.1 * LARGEST, -3e30] {
            for place in 0..good.len() {
                let mut values = good;
                values[place] = bad;
                assert!(are_sound(&good) && !are_sound(&values));
                let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
                let halves = |values: &[f32]| {
                    values.iter().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect::<Vec<_>>()
                };
                for piece in 1..30 {
                    for (dtype, good, values) in
                        [(DType::F32, bytes(&good), bytes(&values)), (DType::Bf16, halves(&good), halves(&values))]
                    {
                        assert_eq!(examine(dtype, &good, piece), Ok(()));
                        let found = examine(dtype, &values, piece).unwrap_err();
                        assert_eq!(found.index, place as u64, "{dtype:?} in pieces of {piece}: {found}");
                    }
                }
            }
        }
        assert_eq!(examine(DType::U8, &[0xff; 9], 4), Ok(()));
    }
}
