//! What was measured.

use std::fmt;

use serde::Serialize;
use wanfarm_model::ModelError;

use super::stopwatch::Timing;

/// Part of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Reading files.
    Loading,
    /// Matrix products.
    Products,
    /// Reading and writing memory.
    Memory,
    /// Attention.
    Attention,
    /// The networks' other operations.
    Operations,
    /// Transformers, autoencoders, text encoder.
    Networks,
}

impl Section {
    /// All, in order.
    pub const ALL: [Section; 6] = [
        Section::Loading,
        Section::Products,
        Section::Memory,
        Section::Attention,
        Section::Operations,
        Section::Networks,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Section::Loading => "loading",
            Section::Products => "products",
            Section::Memory => "memory",
            Section::Attention => "attention",
            Section::Operations => "operations",
            Section::Networks => "networks",
        }
    }
}

/// What a rate is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// 10¹² operations a second; a multiplication and an addition are two.
    #[serde(rename = "TFLOP/s")]
    Teraflops,
    /// 10⁹ bytes a second, those read and those written.
    #[serde(rename = "GB/s")]
    Gigabytes,
}

impl Unit {
    /// What a rate of one is, in operations or bytes a second.
    pub(super) fn size(self) -> f64 {
        match self {
            Unit::Teraflops => 1e12,
            Unit::Gigabytes => 1e9,
        }
    }
}

/// One thing measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// What it is part of.
    pub section: Section,
    /// What was measured.
    pub name: String,
    /// Work done in a second, by the median run.
    pub rate: f64,
    /// What the rate is in.
    pub unit: Unit,
    /// Share of the best rate that was measured of what limits it.
    pub of_peak: Option<f64>,
    /// Of the median run.
    pub seconds: f64,
    /// Distance of the quartiles from each other, relative to the median; `null` of fewer than four runs.
    pub spread: Option<f64>,
    /// How many runs were timed.
    pub runs: usize,
    /// Seconds that are calculated from the figures of this chip, where those are known.
    pub expected_seconds: Option<f64>,
}

/// What was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What it is part of.
    pub section: Section,
    /// What was not measured.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// What a part of a video takes here, by what was measured of a smaller part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideoTime {
    /// For example `a step of t2v-a14b, 480p, 81 frames`.
    pub what: String,
    /// Seconds, by this machine's measured part.
    pub seconds: f64,
    /// Seconds that are calculated from the figures of this chip, where those are known.
    pub expected_seconds: Option<f64>,
}

/// Everything that came out.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Results {
    /// The chip that is known of this name, whose figures give what is expected.
    pub chip: Option<&'static str>,
    /// In order.
    pub measured: Vec<Measurement>,
    /// What there was no time or memory for, or what failed.
    pub skipped: Vec<Skipped>,
    /// What follows for videos of common sizes.
    pub videos: Vec<VideoTime>,
}

/// A line of the benchmark.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Something was measured.
    Measured(Measurement),
    /// Something was left out.
    Skipped(Skipped),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Measured(line) => line.fmt(f),
            Line::Skipped(Skipped { section, name, why }) => {
                write!(f, "{:<10} {name:<48} left out: {why}", section.name())
            }
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { section, name, rate, unit, of_peak, seconds, spread, runs, expected_seconds } = self;
        let unit = match unit {
            Unit::Teraflops => "TFLOP/s",
            Unit::Gigabytes => "GB/s",
        };
        let percent = |share: f64| format!("{:.0} %", 100. * share);
        let peak = of_peak.map(percent).unwrap_or_default();
        let spread = spread.map(|spread| format!(" ± {}", percent(spread / 2.))).unwrap_or_default();
        write!(f, "{:<10} {name:<48} {rate:>8.3} {unit:<7} {peak:>5}  {}{spread}", section.name(), short(*seconds))?;
        write!(f, ", {runs} {}", if *runs == 1 { "run" } else { "runs" })?;
        match expected_seconds {
            Some(expected) => write!(f, "; expected of this chip {}", short(*expected)),
            None => Ok(()),
        }
    }
}

/// Seconds in three digits.
pub(super) fn short(seconds: f64) -> String {
    match seconds {
        ..1e-3 => format!("{:.1} µs", seconds * 1e6),
        ..1. => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

/// Takes down what comes out, and hands it on at once.
pub(super) struct Recorder<'a> {
    results: &'a mut Results,
    sink: &'a mut dyn FnMut(&Line),
}

/// What is to be said of a timing.
pub(super) struct Measured {
    pub(super) section: Section,
    pub(super) name: String,
    /// Operations or bytes of a run.
    pub(super) work: f64,
    pub(super) unit: Unit,
    pub(super) peak: Option<f64>,
    pub(super) expected_seconds: Option<f64>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(results: &'a mut Results, sink: &'a mut dyn FnMut(&Line)) -> Self {
        Self { results, sink }
    }

    /// Takes down a timing, and gives its rate.
    pub(super) fn measured(&mut self, what: Measured, timing: &Timing) -> f64 {
        let Measured { section, name, work, unit, peak, expected_seconds } = what;
        let rate = work / timing.seconds / unit.size();
        let measurement = Measurement {
            section,
            name,
            rate,
            unit,
            of_peak: peak.map(|peak| rate / peak),
            seconds: timing.seconds,
            spread: timing.spread,
            runs: timing.runs,
            expected_seconds,
        };
        (self.sink)(&Line::Measured(measurement.clone()));
        self.results.measured.push(measurement);
        rate
    }

    /// Takes down what was left out.
    pub(super) fn skipped(&mut self, section: Section, name: impl Into<String>, why: impl Into<String>) {
        let skipped = Skipped { section, name: name.into(), why: why.into() };
        (self.sink)(&Line::Skipped(skipped.clone()));
        self.results.skipped.push(skipped);
    }

    /// Takes down what failed.
    pub(super) fn failed(&mut self, section: Section, name: impl Into<String>, error: &ModelError) {
        self.skipped(section, name, error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_json_say_the_same() {
        let mut results = Results::default();
        let mut lines = Vec::new();
        let mut sink = |line: &Line| lines.push(line.to_string());
        let mut recorder = Recorder::new(&mut results, &mut sink);
        let what = Measured {
            section: Section::Products,
            name: "2048".to_owned(),
            work: 2e12,
            unit: Unit::Teraflops,
            peak: Some(8.),
            expected_seconds: Some(0.25),
        };
        let rate = recorder.measured(what, &Timing { seconds: 0.5, spread: Some(0.1), runs: 7 });
        recorder.skipped(Section::Networks, "a block", "no time is left");
        assert_eq!(rate, 4.);
        assert!(lines[0].contains("4.000 TFLOP/s") && lines[0].contains("50 %"), "{}", lines[0]);
        assert!(lines[0].ends_with("500.0 ms ± 5 %, 7 runs; expected of this chip 250.0 ms"), "{}", lines[0]);
        assert!(lines[1].contains("left out: no time is left"));
        let json = serde_json::to_value(&results).unwrap();
        assert_eq!(json["measured"][0]["unit"], "TFLOP/s");
        assert_eq!(json["skipped"][0]["section"], "networks");
    }
}
