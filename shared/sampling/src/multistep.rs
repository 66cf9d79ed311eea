//! The weights of the multistep formulas in data prediction: UniPC's predictor (UniP, B(h) variant 2, order ≤ 2) and
//! corrector (UniC). DPM-Solver++ 2M in its midpoint form is the same predictor, used alone. Not which order runs at
//! which step, nor what is kept between steps (`solver`).
//!
//! With `λ = ln((1−σ)/σ)`: `λ` is −∞ at σ = 1 and +∞ at σ = 0, and every formula below has the right limit there.
//!
//! Source: Wan2.2@42bf4cf `wan/utils/fm_solvers_unipc.py#L352` (multistep_uni_p_bh_update), `#L488`
//! (multistep_uni_c_bh_update); `wan/utils/fm_solvers.py#L417`, `#L488` (DPM-Solver++ of first and second order).

/// Log signal-to-noise ratio (half of it, in the papers' words).
fn lambda(sigma: f64) -> f64 {
    (1.0 - sigma).ln() - sigma.ln()
}

/// x_t = sample·x + current·m₀ + previous·m₁, where m₀ is the x0 prediction at `from` and m₁ the one before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Predictor {
    pub(crate) sample: f64,
    pub(crate) current: f64,
    pub(crate) previous: f64,
}

/// One step from level `from` to level `to`; with the level before `from`, of second order.
pub(crate) fn predictor(before: Option<f64>, from: f64, to: f64) -> Predictor {
    let h = lambda(to) - lambda(from);
    let scale = (1.0 - to) * (-h).exp_m1();
    // Half the slope of the predictions: ρ = 1/2 at second order.
    let slope = before.map_or(0.0, |before| 0.5 / ((lambda(before) - lambda(from)) / h));
    Predictor { sample: to / from, current: -scale * (1.0 - slope), previous: -scale * slope }
}

/// x_t = sample·x + current·m₀ + previous·m₁ + ahead·m_t: the step from `from` to `to` again, now that m_t, the
/// x0 prediction at `to`, is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Corrector {
    pub(crate) sample: f64,
    pub(crate) current: f64,
    pub(crate) previous: f64,
    pub(crate) ahead: f64,
}

/// The correction of a step that had this `before` (order 2) or none (order 1). `to` is above 0.
pub(crate) fn corrector(before: Option<f64>, from: f64, to: f64) -> Corrector {
    let h = lambda(to) - lambda(from);
    let hh = -h;
    let phi_1 = hh.exp_m1();
    let scale = (1.0 - to) * phi_1;
    let (slope, ahead) = match before {
        None => (0.0, 0.5),
        Some(before) => {
            // [[1, 1], [r, 1]] · ρ = b, where the first unknown is used divided by r.
            let r = (lambda(before) - lambda(from)) / h;
            let phi_2 = phi_1 / hh - 1.0;
            let phi_3 = phi_2 / hh - 0.5;
            let b = [phi_2 / phi_1, 2.0 * phi_3 / phi_1];
            let rho = (b[1] - b[0]) / (r - 1.0);
            (rho / r, b[0] - rho)
        }
    };
    Corrector {
        sample: to / from,
        current: -scale * (1.0 - slope - ahead),
        previous: -scale * slope,
        ahead: -scale * ahead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prediction that stays the same is followed exactly: the weights of x and the m's are those of the straight
    /// line from noise to data, whatever the order.
    #[test]
    fn a_constant_prediction_is_followed_exactly() {
        for (before, from, to) in [(None, 1.0, 0.97), (Some(1.0), 0.97, 0.9), (Some(0.9), 0.7, 0.3)] {
            let m = 1.0 - to - (1.0 - from) * to / from;
            let p = predictor(before, from, to);
            assert!((p.sample - to / from).abs() < 1e-15 && (p.current + p.previous - m).abs() < 1e-14, "{p:?}");
            let c = corrector(before, from, to);
            assert!((c.current + c.previous + c.ahead - m).abs() < 1e-14, "{c:?}");
        }
    }

    #[test]
    fn the_ends_of_the_schedule_have_limits() {
        assert_eq!(predictor(None, 0.4, 0.0), Predictor { sample: 0.0, current: 1.0, previous: 0.0 });
        assert_eq!(predictor(None, 1.0, 0.0), Predictor { sample: 0.0, current: 1.0, previous: 0.0 });
        let second = predictor(Some(1.0), 0.9, 0.8);
        let first = predictor(None, 0.9, 0.8);
        assert_eq!((second.current, second.previous.abs()), (first.current, 0.0));
        let corrected = corrector(None, 1.0, 0.9);
        assert!([corrected.sample, corrected.current, corrected.ahead].iter().all(|w| w.is_finite()));
        let corrected = corrector(Some(1.0), 0.9, 0.8);
        assert_eq!(corrected.previous.abs(), 0.0);
        assert!(corrected.current.is_finite() && corrected.ahead > 0.0);
    }

    /// The corrector integrates a prediction that is quadratic in λ exactly: three points, third order.
    #[test]
    fn the_corrector_is_exact_for_quadratic_predictions() {
        let (before, from, to) = (0.8, 0.7, 0.55);
        for power in 0..3 {
            let m = |sigma: f64| (lambda(sigma) - lambda(from)).powi(power);
            // x(to) = (to/from)·x + ∫ (1−to)·e^{λ−λ_to}·m(λ) dλ, by Simpson's rule.
            let (a, b, n) = (lambda(from), lambda(to), 2000);
            let f = |l: f64| (1.0 - to) * (l - b).exp() * (l - a).powi(power);
            let dl = (b - a) / f64::from(n);
            let integral: f64 = (0..n)
                .map(|i| {
                    let l = a + f64::from(i) * dl;
                    dl / 6.0 * (f(l) + 4.0 * f(l + dl / 2.0) + f(l + dl))
                })
                .sum();
            let c = corrector(Some(before), from, to);
            let sum = c.current * m(from) + c.previous * m(before) + c.ahead * m(to);
            assert!((sum - integral).abs() < 1e-12, "power {power}: {sum} is not {integral}");
        }
    }
}
