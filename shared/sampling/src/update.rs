//! A solver step as a matrix: every output tensor is a weighted sum of the input tensors. How the weights come about
//! is the business of `multistep` and `solver`.

/// Weights of the inputs, in their order; inputs beyond the end of the row weigh nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row(Vec<f64>);

impl Row {
    /// The input with this index, unchanged.
    pub(crate) fn input(index: usize) -> Self {
        let mut weights = vec![0.0; index + 1];
        weights[index] = 1.0;
        Self(weights)
    }

    /// Σ factor · row. A factor of zero leaves its row out altogether.
    pub(crate) fn sum<const N: usize>(terms: [(f64, &Row); N]) -> Self {
        let mut weights = Vec::new();
        for (factor, row) in terms {
            if weights.len() < row.0.len() {
                weights.resize(row.0.len(), 0.0);
            }
            for (weight, term) in weights.iter_mut().zip(&row.0) {
                *weight += factor * term;
            }
        }
        Self(weights)
    }

    /// The weighted sum, accumulated per element in f64 in the order of the inputs and rounded to f32 once.
    /// An element depends on nothing but the elements of the same index, so the result has one value however the
    /// work may be split. All inputs must have the same length.
    pub(crate) fn apply(&self, inputs: &[&[f32]]) -> Vec<f32> {
        const BLOCK: usize = 1024;
        let len = inputs.first().map_or(0, |input| input.len());
        let mut output = Vec::with_capacity(len);
        let mut block = [0.0_f64; BLOCK];
        for start in (0..len).step_by(BLOCK) {
            let sums = &mut block[..BLOCK.min(len - start)];
            sums.fill(0.0);
            for (&weight, input) in self.0.iter().zip(inputs).filter(|&(&weight, _)| weight != 0.0) {
                for (sum, &value) in sums.iter_mut().zip(&input[start..]) {
                    *sum += weight * f64::from(value);
                }
            }
            output.extend(sums.iter().map(|&sum| sum as f32));
        }
        output
    }
}

#[cfg(test)]
impl Row {
    /// The weighted sum of scalars, without any rounding to f32.
    pub(crate) fn dot(&self, inputs: &[f64]) -> f64 {
        self.0.iter().zip(inputs).map(|(weight, input)| weight * input).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up() {
        let row = Row::sum([(2.0, &Row::input(0)), (-1.0, &Row::input(2))]);
        assert_eq!(row.apply(&[&[1.0, 2.0], &[9.0, 9.0], &[0.5, 0.25]]), [1.5, 3.75]);
    }

    #[test]
    fn a_sum_is_rounded_once() {
        // In f32, 1 + 2⁻²⁵ is 1 at every stage; in f64 the two small terms count.
        let small = 2.0_f32.powi(-25);
        let row = Row::sum([(1.0, &Row::input(0)), (1.0, &Row::input(1)), (1.5, &Row::input(2))]);
        assert_eq!(row.apply(&[&[1.0], &[small], &[small]]), [1.0 + f32::EPSILON]);
    }

    #[test]
    fn unweighted_inputs_cannot_poison_the_sum() {
        let row = Row::sum([(1.0, &Row::input(0)), (0.0, &Row::input(1))]);
        assert_eq!(row.apply(&[&[3.0], &[f32::NAN]]), [3.0]);
    }

    #[test]
    fn lengths_beside_the_block_size_work() {
        for len in [0, 1, 1023, 1024, 1025, 3000] {
            let input: Vec<f32> = (0..len).map(|i| i as f32).collect();
            assert_eq!(Row::input(0).apply(&[&input]), input);
        }
    }
}
