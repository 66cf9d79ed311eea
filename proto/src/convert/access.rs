//! Rights, as the wire has them.

use wanfarm_types::Rights;

use super::WireError;
use super::enums::FromWireNumber;
use crate::v1;

/// Reads rights: one at least, each of a kind that this version knows.
///
/// # Errors
/// The first that means nothing.
pub fn rights(wire: &[i32]) -> Result<Rights, WireError> {
    let rights: Vec<_> = wire.iter().map(|&right| FromWireNumber::from_wire_number(right)).collect::<Result<_, _>>()?;
    Rights::new(rights).ok_or(WireError::Missing("rights"))
}

/// Rights to the wire.
pub fn rights_to_wire(rights: &Rights) -> Vec<i32> {
    rights.iter().map(|right| v1::Right::from(right).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_cross_the_wire_unchanged_and_there_is_always_one() {
        for rights in [Rights::all(), "viewer".parse().unwrap(), "worker,submitter".parse().unwrap()] {
            assert_eq!(super::rights(&rights_to_wire(&rights)).unwrap(), rights);
        }
        for bad in [&[][..], &[0], &[1, 99]] {
            assert!(rights(bad).is_err(), "{bad:?}");
        }
    }
}
