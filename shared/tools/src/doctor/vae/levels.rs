//! Which levels of the autoencoder halve time: the lower ones, after space alone has been halved.

use crate::doctor::finding::{Limit, Measure};

/// `temporal_downsample`, from full resolution to the lowest.
pub(super) fn check(temporal_downsample: &[bool]) -> Measure {
    let mut in_order = temporal_downsample.to_vec();
    in_order.sort_unstable();
    let out_of_order = in_order.iter().zip(temporal_downsample).filter(|(want, got)| want != got).count();
    Measure {
        figure: out_of_order as f64,
        limit: Limit::AtMost(0.),
        otherwise: "time is halved at the wrong levels: the encoder's order is space first, then space and time; the \
                    decoder's is the reverse of it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reversed_order_is_caught() {
        assert!(check(&[false, true, true]).holds());
        assert!(check(&[true, true]).holds());
        assert!(!check(&[true, true, false]).holds());
    }
}
