//! Services of systemd: the unit that the operator's guide shows, with this command line.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::step::{Service, Step, words};

/// Makes the user of the services.
pub(super) const ADD_USER: &str =
    "useradd --system --home-dir /var/lib/wanfarm --no-create-home --shell /usr/sbin/nologin wanfarm";

const COORDINATOR: &str = include_str!("../../../../../deploy/systemd/wanfarm-coordinator.service");
const WORKER: &str = include_str!("../../../../../deploy/systemd/wanfarm-worker.service");

pub(super) fn installed(service: Service, line: &[String], places: &[PathBuf]) -> Vec<Step> {
    vec![
        Step::Write { path: path(service), text: unit(service, line, places) },
        Step::Run { line: words("systemctl daemon-reload") },
        Step::Run { line: words(&format!("systemctl enable {}", name(service))) },
        // Also where it runs already, as another version or with other options.
        Step::Run { line: words(&format!("systemctl restart {}", name(service))) },
    ]
}

pub(super) fn removed(service: Service) -> Vec<Step> {
    vec![
        Step::Try { line: words(&format!("systemctl disable --now {}", name(service))) },
        Step::Remove { path: path(service) },
        Step::Run { line: words("systemctl daemon-reload") },
    ]
}

fn name(service: Service) -> String {
    format!("wanfarm-{}.service", service.name())
}

fn path(service: Service) -> PathBuf {
    PathBuf::from("/etc/systemd/system").join(name(service))
}

fn unit(service: Service, line: &[String], places: &[PathBuf]) -> String {
    let of = if service == Service::Serve { COORDINATOR } else { WORKER };
    let mut unit = String::new();
    for old in of.lines() {
        // Writing to a text cannot fail.
        let _ = match old.split_once('=') {
            Some(("ExecStart", _)) => {
                writeln!(unit, "ExecStart={}", line.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
            }
            // All of it is in the command line.
            Some(("EnvironmentFile", _)) => {
                writeln!(unit, "Environment=WANFARM_MEMBERSHIP=/var/lib/wanfarm/membership")
            }
            Some(("ReadWritePaths", _)) => {
                let places = places.iter().map(|place| quoted(&place.display().to_string()));
                writeln!(unit, "ReadWritePaths={}", places.collect::<Vec<_>>().join(" "))
            }
            _ => writeln!(unit, "{old}"),
        };
    }
    unit
}

/// A word of a command line, as systemd reads it (systemd.syntax(7), systemd.service(5)).
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if escaped.chars().any(char::is_whitespace) || escaped.is_empty() || escaped.contains(['"', '\'', ';']) {
        format!("\"{escaped}\"")
    } else {
        escaped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_systemd_reads_them_as() {
        for (word, written) in [
            ("/srv/models", "/srv/models"),
            ("a b", "\"a b\""),
            ("50%", "50%%"),
            ("$HOME", "$$HOME"),
            ("a\"b", "\"a\\\"b\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(word), written);
        }
    }
}
