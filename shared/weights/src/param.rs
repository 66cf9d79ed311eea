//! What a network expects of its files.

/// A tensor that a network needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Official name.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

impl Param {
    /// A tensor by name and shape.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), shape: shape.into() }
    }

    /// Weight `(out, in)` and, if asked for, bias `(out)` of a linear layer.
    pub fn linear(prefix: &str, out: usize, inner: usize, bias: bool) -> Vec<Self> {
        let mut params = vec![Self::new(format!("{prefix}.weight"), [out, inner])];
        if bias {
            params.push(Self::new(format!("{prefix}.bias"), [out]));
        }
        params
    }
}
