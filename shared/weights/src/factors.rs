//! What the stored numbers of a matrix are multiplied by, and what is added to them.

use crate::mapped::Piece;

/// The factors of a matrix.
#[derive(Debug, Clone)]
pub enum Factors {
    /// One for the whole matrix, or one for each of its rows.
    Rows(Vec<f32>),
    /// One for each group of each row, and what is added.
    Groups(Groups),
}

/// Scales and biases of the groups of a matrix, row by row, in the type that its encoding says.
#[derive(Debug, Clone)]
pub struct Groups {
    /// What is multiplied by.
    pub scales: Piece,
    /// What is added.
    pub biases: Piece,
}

impl Factors {
    /// Bytes of the file that are in use as long as the matrix is.
    pub fn mapped_bytes(&self) -> usize {
        match self {
            Self::Rows(_) => 0,
            Self::Groups(groups) => groups.scales.len() + groups.biases.len(),
        }
    }
}
