//! What a check found: a figure, the limit it must keep, and what it means when it does not.
//!
//! Not here: any check, and how findings are shown.

use std::borrow::Cow;
use std::fmt;
use std::time::Instant;

use serde::Serialize;

use wanfarm_model::ModelError;

/// What a check looks at, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Model files, before anything is computed with them.
    Files,
    /// Single operations on the device.
    Operations,
    /// Frames to latents and back.
    Autoencoder,
    /// Velocities of the transformers.
    Transformers,
    /// A render from noise to frames.
    Render,
}

impl Section {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Section::Files => "files",
            Section::Operations => "operations",
            Section::Autoencoder => "autoencoder",
            Section::Transformers => "transformers",
            Section::Render => "render",
        }
    }
}

/// What a figure must keep to. No limit is kept by what is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// From the first to the second.
    Between(f64, f64),
}

impl Limit {
    fn admits(self, figure: f64) -> bool {
        match self {
            Limit::AtMost(most) => figure <= most,
            Limit::AtLeast(least) => figure >= least && figure.is_finite(),
            Limit::Between(least, most) => (least..=most).contains(&figure),
        }
    }
}

/// A number as tables show it: short, whatever its size.
pub fn short(figure: f64) -> String {
    match figure.abs() {
        size if size == 0. || (1e-2..1e5).contains(&size) => {
            let text = format!("{figure:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{figure:.1e}"),
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Limit::AtMost(most) => format!("<= {}", short(most)),
            Limit::AtLeast(least) => format!(">= {}", short(least)),
            Limit::Between(least, most) => format!("{} .. {}", short(least), short(most)),
        };
        f.pad(&text)
    }
}

/// A figure and its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// What was measured.
    pub figure: f64,
    /// What it must keep to.
    pub limit: Limit,
    /// What it means when it does not, and where to look.
    pub otherwise: &'static str,
}

impl Measure {
    /// Whether the limit is kept.
    pub fn holds(&self) -> bool {
        self.limit.admits(self.figure)
    }
}

/// What a check comes to; an error is a failure too.
pub(super) type Checked = Result<Measure, ModelError>;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Unusual. Look at it.
    Warn,
    /// The result is wrong.
    Fail,
    /// Not looked at: something it needs has failed, or the model has no such thing.
    Skipped,
}

impl Outcome {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
            Outcome::Skipped => "skipped",
        }
    }
}

/// One line of a diagnosis.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What it is about.
    pub section: Section,
    /// Name of the check.
    pub name: Cow<'static, str>,
    /// What was measured; absent when it could not be.
    pub figure: Option<f64>,
    /// What it must keep to; absent when the figure alone does not decide.
    pub limit: Option<Limit>,
    /// The outcome.
    pub outcome: Outcome,
    /// Why, and where to look; empty when it passed.
    pub remark: String,
    /// How long it took.
    pub seconds: f64,
}

/// Runs checks and hands on what each found, as soon as it is known.
pub(super) struct Recorder<'a> {
    sink: &'a mut dyn FnMut(Finding),
}

impl<'a> Recorder<'a> {
    pub(super) fn new(sink: &'a mut dyn FnMut(Finding)) -> Self {
        Self { sink }
    }

    /// Runs a check; true if it passed.
    pub(super) fn check(
        &mut self,
        section: Section,
        name: impl Into<Cow<'static, str>>,
        check: impl FnOnce() -> Checked,
    ) -> bool {
        self.yielding(section, name, || check().map(|measure| (measure, measure.holds()))) == Some(true)
    }

    /// Runs a check that also makes something for later ones; nothing, if it failed with an error.
    pub(super) fn yielding<T>(
        &mut self,
        section: Section,
        name: impl Into<Cow<'static, str>>,
        check: impl FnOnce() -> Result<(Measure, T), ModelError>,
    ) -> Option<T> {
        self.record(section, name.into(), || check().map(|(measure, made)| (Some(measure), made)))
    }

    /// Does something that nothing can be measured of: it succeeds, or fails with an error.
    pub(super) fn obtain<T>(
        &mut self,
        section: Section,
        name: impl Into<Cow<'static, str>>,
        make: impl FnOnce() -> Result<T, ModelError>,
    ) -> Option<T> {
        self.record(section, name.into(), || make().map(|made| (None, made)))
    }

    fn record<T>(
        &mut self,
        section: Section,
        name: Cow<'static, str>,
        check: impl FnOnce() -> Result<(Option<Measure>, T), ModelError>,
    ) -> Option<T> {
        let started = Instant::now();
        let result = check();
        let seconds = started.elapsed().as_secs_f64();
        let (measure, outcome, remark, made) = match result {
            Ok((Some(measure), made)) if !measure.holds() => {
                (Some(measure), Outcome::Fail, measure.otherwise.to_owned(), Some(made))
            }
            Ok((measure, made)) => (measure, Outcome::Pass, String::new(), Some(made)),
            Err(error) => (None, Outcome::Fail, error.to_string(), None),
        };
        let (figure, limit) = (measure.map(|measure| measure.figure), measure.map(|measure| measure.limit));
        (self.sink)(Finding { section, name, figure, limit, outcome, remark, seconds });
        made
    }

    /// Says that something is not looked at.
    pub(super) fn skip(&mut self, section: Section, name: impl Into<Cow<'static, str>>, why: &str) {
        let (name, remark) = (name.into(), why.to_owned());
        let outcome = Outcome::Skipped;
        (self.sink)(Finding { section, name, figure: None, limit: None, outcome, remark, seconds: 0. });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_keeps_no_limit() {
        for limit in [Limit::AtMost(1.), Limit::AtLeast(1.), Limit::Between(0., 1.)] {
            assert!(limit.admits(1.));
            assert!(!limit.admits(f64::NAN));
        }
        assert!(!Limit::AtMost(1.).admits(1.1) && !Limit::AtLeast(1.).admits(0.9));
        assert!(!Limit::AtMost(1.).admits(f64::INFINITY) && !Limit::AtLeast(1.).admits(f64::INFINITY));
        assert!(!Limit::Between(0., 1.).admits(-0.1));
    }

    #[test]
    fn errors_are_findings() {
        let mut found = Vec::new();
        let mut sink = |finding| found.push(finding);
        let mut recorder = Recorder::new(&mut sink);
        let measure = |figure| Measure { figure, limit: Limit::AtMost(1.), otherwise: "look there" };
        assert!(recorder.check(Section::Operations, "good", || Ok(measure(0.5))));
        assert!(!recorder.check(Section::Operations, "bad", || Ok(measure(2.))));
        assert!(!recorder.check(Section::Files, "broken", || Err(ModelError::input("latents", "are odd"))));
        let outcomes: Vec<_> = found.iter().map(|finding| (finding.outcome, finding.remark.as_str())).collect();
        assert_eq!(outcomes, [(Outcome::Pass, ""), (Outcome::Fail, "look there"), (Outcome::Fail, "latents: are odd")]);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0., 1., 0.25, 27.123_456, 1e-6, 123_456., f64::NAN].map(short);
        assert_eq!(shown, ["0", "1", "0.25", "27.123", "1.0e-6", "1.2e5", "NaN"]);
    }
}
