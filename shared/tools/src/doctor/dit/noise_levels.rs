//! Which expert knows a noise level: its own must predict better there than the other.

use crate::doctor::finding::{Limit, Measure};

/// How many times the other expert's error is that of the expert whose level it is.
pub(super) fn check(own: f64, other: f64) -> Measure {
    Measure {
        figure: other / own,
        limit: Limit::AtLeast(1.),
        otherwise: "the other expert knows this noise level better: the two are exchanged; the one for high noise is \
                    high_noise_model/, in diffusers' layout transformer/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanged_and_equal_experts_are_told() {
        assert!(check(0.4, 0.9).holds());
        assert!(!check(0.9, 0.4).holds());
        assert!(!check(0.4, f64::NAN).holds() && !check(0., 0.).holds());
    }
}
