//! How the workers of `run` share this machine's memory: a process for each role where all fit together, else one that
//! holds what the coordinator tells it to.

use std::fmt;
use std::time::Duration;

use wanfarm_client::span;
use wanfarm_types::{Footprint, ItemSize, Role, Size};

/// Which processes to start, with the roles of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) processes: Vec<Vec<Role>>,
    /// What the only process may take; absent where each holds all it serves.
    pub(super) within: Option<Size>,
    /// What all roles take that work at once.
    together: Size,
    /// Bytes of the weights of all.
    weights: Size,
    /// Whether the weights of all stay in memory.
    stay: bool,
    budget: Size,
    /// About how long all of it takes, where that is known of the device.
    pub(super) expected: Option<Duration>,
}

impl Layout {
    /// The layout for videos of up to this size, of a model whose roles take so much.
    ///
    /// # Errors
    /// A role that does not fit alone: which, what it needs, and what helps.
    pub(super) fn new(roles: &[(Role, Footprint)], size: ItemSize, budget: Size) -> Result<Self, String> {
        let needs = |footprint: &Footprint| footprint.needs(size);
        if let Some((role, footprint)) = roles.iter().find(|(_, footprint)| needs(footprint) > budget.0) {
            let (all, weights) = (Size(needs(footprint)), Size(footprint.weights));
            return Err(format!(
                "{role} needs {all} of memory for the largest of these videos, {weights} of that for its weights, and the \
                 budget is {budget}; render smaller or shorter, take weights in Q8_0, which need about half of bf16's \
                 memory, or allow more with --memory"
            ));
        }
        let sum = |of: &dyn Fn(&Footprint) -> u64| roles.iter().map(|(_, footprint)| of(footprint)).sum::<u64>();
        let (together, weights) = (sum(&needs), sum(&|footprint| footprint.weights));
        let largest_item = roles.iter().map(|(_, footprint)| footprint.of_item(size)).max().unwrap_or(0);
        let all = roles.iter().map(|(role, _)| *role);
        let fits = together <= budget.0;
        Ok(Self {
            processes: if fits { all.map(|role| vec![role]).collect() } else { vec![all.collect()] },
            within: (!fits).then_some(budget),
            together: Size(together),
            weights: Size(weights),
            stay: weights.saturating_add(largest_item) <= budget.0,
            budget,
            expected: None,
        })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { together, weights, budget, .. } = self;
        let roles: Vec<&str> = self.processes.iter().flatten().map(|role| role.name()).collect();
        let roles = roles.join(", ");
        match (self.within, self.stay) {
            (None, _) => write!(f, "memory: {roles} at once, about {together} of {budget}; each is loaded once")?,
            (Some(_), true) => write!(
                f,
                "memory: {roles} would take {together} at once, of {budget}; so one of them works at a time, all stay \
                 loaded, {weights} of weights"
            )?,
            (Some(_), false) => write!(
                f,
                "memory: {roles} would take {together} at once, of {budget}; so as many are held as fit, and what \
                 works next is loaded, the largest once for the batch, {weights} of weights in all"
            )?,
        }
        match self.expected {
            Some(expected) => write!(f, "; about {}, as expected of this chip", span(expected)),
            None => write!(f, "; how long it takes is known after the first steps"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 3] = [Role::TextEncoder, Role::DitHigh, Role::Vae];
    const SIZE: ItemSize = ItemSize { tokens: 10, frame: 1, kept: 0 };

    /// Needs of 12, 130 and 25, weights of 0, 100 and 5.
    fn layout(budget: u64) -> Result<Layout, String> {
        let footprint =
            |weights, item, per_token| Footprint { weights, item, per_token, per_frame_token: 0, per_kept_token: 0 };
        let footprints = [footprint(0, 12, 0), footprint(100, 10, 2), footprint(5, 0, 2)];
        let roles: Vec<_> = ROLES.into_iter().zip(footprints).collect();
        Layout::new(&roles, SIZE, Size(budget))
    }

    #[test]
    fn each_role_has_its_process_where_all_fit_together() {
        let whole = layout(167).unwrap();
        assert_eq!((whole.processes.len(), whole.within), (3, None));
        assert!(whole.to_string().contains("text-encoder, dit-high, vae at once"), "{whole}");
    }

    #[test]
    fn one_process_holds_what_fits_where_not() {
        for (budget, words) in [(166, "all stay loaded"), (135, "all stay loaded"), (134, "what works next is loaded")]
        {
            let one = layout(budget).unwrap();
            assert_eq!((&one.processes[..], one.within), (&[ROLES.to_vec()][..], Some(Size(budget))));
            assert!(one.to_string().contains(words), "{one}");
        }
    }

    #[test]
    fn how_long_it_takes_is_said_where_it_is_known() {
        let mut known = layout(167).unwrap();
        assert!(known.to_string().ends_with("known after the first steps"), "{known}");
        known.expected = Some(Duration::from_secs(3600));
        assert!(known.to_string().contains("; about 1h 00m"), "{known}");
    }

    #[test]
    fn what_does_not_fit_alone_is_refused() {
        let refused = layout(129).unwrap_err();
        for words in ["dit-high needs", "--memory", "Q8_0", "smaller or shorter"] {
            assert!(refused.contains(words), "{refused}");
        }
    }
}
