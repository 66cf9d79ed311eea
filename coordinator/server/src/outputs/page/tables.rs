//! Where the time went, and on what.

use maud::{Markup, html};
use wanfarm_types::{EffortLine, Machine};

use super::words::{duration, percent};

/// What was done, by stage, role or worker.
pub(super) fn efforts(what: &str, lines: &[EffortLine]) -> Markup {
    let several = lines.iter().any(|line| line.workers > 1);
    html! {
        @if !lines.is_empty() {
            section {
                h2 { "By " (what.to_lowercase()) }
                div.wide tabindex="0" role="region" aria-label=(format!("By {}", what.to_lowercase())) { table {
                    thead { tr {
                        th scope="col" { (what) }
                        @if several { th.number scope="col" { "Workers" } }
                        th.number scope="col" { "Busy" }
                        @for title in ["Attempts", "Unfinished", "Steps", "Computing", "Waited for inputs", "Loading", "Skipped"] {
                            th.number scope="col" { (title) }
                        }
                    } }
                    tbody { @for line in lines { (effort(line, several)) } }
                } }
            }
        }
    }
}

fn effort(line: &EffortLine, several: bool) -> Markup {
    let EffortLine { name, workers, busy, effort } = line;
    let some = |number: u64| if number > 0 { number.to_string() } else { "–".to_owned() };
    let share = format!("width:{:.0}%", busy.unwrap_or(0.0).clamp(0.0, 1.0) * 100.0);
    html! {
        tr {
            th scope="row" { (name) }
            @if several { td.number { (workers) } }
            td.number { span.meter aria-hidden="true" { i style=(share) {} } (percent(*busy)) }
            td.number { (effort.attempts) }
            td.number.warn[effort.failed > 0] { (some(effort.failed)) }
            td.number { (some(effort.steps)) }
            td.number { (duration(effort.seconds)) }
            td.number { (duration(effort.input_wait_seconds)) }
            td.number { @if effort.loads > 0 { (duration(effort.load_seconds)) } @else { "–" } }
            td.number { (some(effort.skipped)) }
        }
    }
}

/// The workers that took part.
pub(super) fn machines(machines: &[Machine]) -> Markup {
    let memory = |machine: &Machine| {
        machine
            .memory_bytes
            .map_or_else(|| "–".to_owned(), |bytes| format!("{:.0} GiB", bytes as f64 / f64::from(1 << 30)))
    };
    let weights = |machine: &Machine| {
        let each = machine.weights.iter().map(|each| format!("{} {}", each.role.name(), each.encoding));
        each.collect::<Vec<_>>().join(", ")
    };
    html! {
        @if !machines.is_empty() {
            section {
                h2 { "Machines" }
                div.wide tabindex="0" role="region" aria-label="Machines" { table {
                    thead { tr {
                        th scope="col" { "Worker" } th scope="col" { "Device" } th.number scope="col" { "Memory" } th scope="col" { "Weights" }
                    } }
                    tbody { @for machine in machines { tr {
                        th scope="row" { (machine.name) } td { (machine.device) } td.number { (memory(machine)) } td { (weights(machine)) }
                    } } }
                } }
            }
        }
    }
}
