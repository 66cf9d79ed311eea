//! The spread of a tensor's values: the numbers to watch while a render runs. What counts as suspicious is the
//! caller's to say, but for one thing: values that are not finite.

use std::fmt;

/// Extremes, mean and deviation of the finite values, and how many others there are. All zero for no finite values.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spread {
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the population.
    pub std: f64,
    /// Count of NaNs and infinities.
    pub not_finite: usize,
}

impl Spread {
    /// Of these values.
    pub fn of(values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let count = finite().count();
        let not_finite = values.len() - count;
        if count == 0 {
            return Self { not_finite, ..Self::default() };
        }
        let mean = finite().map(f64::from).sum::<f64>() / count as f64;
        let variance = finite().map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count as f64;
        Self {
            min: finite().fold(f32::INFINITY, f32::min),
            max: finite().fold(f32::NEG_INFINITY, f32::max),
            mean,
            std: variance.sqrt(),
            not_finite,
        }
    }

    /// True when no value is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.not_finite == 0
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "min {:.4}, max {:.4}, mean {:.4}, std {:.4}", self.min, self.max, self.mean, self.std)?;
        if self.not_finite > 0 { write!(f, ", {} not finite", self.not_finite) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_finite_values() {
        let spread = Spread::of(&[1.0, f32::NAN, 3.0, f32::NEG_INFINITY, -1.0, -3.0]);
        assert_eq!((spread.min, spread.max, spread.mean, spread.not_finite), (-3.0, 3.0, 0.0, 2));
        assert!((spread.std - 5.0_f64.sqrt()).abs() < 1e-12 && !spread.is_finite());
        assert_eq!(spread.to_string(), "min -3.0000, max 3.0000, mean 0.0000, std 2.2361, 2 not finite");
    }

    #[test]
    fn nothing_and_nothing_finite_are_told_apart() {
        assert!(Spread::of(&[]).is_finite());
        assert!(!Spread::of(&[f32::INFINITY]).is_finite());
    }
}
