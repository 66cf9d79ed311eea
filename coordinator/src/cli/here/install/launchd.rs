//! Daemons of launchd: the property list that the operator's guide shows, with this command line.

use std::path::PathBuf;

use super::step::{Service, Step, words};

/// Makes the user of the services: one that nobody logs in as.
pub(super) const ADD_USER: &str = "sysadminctl -addUser _wanfarm -roleAccount";

const COORDINATOR: &str = include_str!("../../../../../deploy/launchd/wanfarm.coordinator.plist");
const WORKER: &str = include_str!("../../../../../deploy/launchd/wanfarm.worker.plist");
const ROTATION: &str = include_str!("../../../../../deploy/newsyslog/wanfarm.conf");
/// Where daemons log.
const LOGS: &str = "/usr/local/var/log/wanfarm";

pub(super) fn log(service: Service) -> String {
    format!("{LOGS}/{}.log", service.name())
}

pub(super) fn installed(service: Service, line: &[String]) -> Vec<Step> {
    let path = path(service);
    vec![
        Step::Folder { path: LOGS.into(), owner: "_wanfarm", mode: 0o755 },
        Step::Write { path: path.clone(), text: list(service, line) },
        Step::Write { path: "/etc/newsyslog.d/wanfarm.conf".into(), text: ROTATION.to_owned() },
        // One that runs already, as another version or with other options.
        Step::Try { line: words(&format!("launchctl bootout system/{}", label(service))) },
        Step::Run { line: words(&format!("launchctl bootstrap system {}", path.display())) },
    ]
}

pub(super) fn removed(service: Service) -> Vec<Step> {
    vec![
        Step::Try { line: words(&format!("launchctl bootout system/{}", label(service))) },
        Step::Remove { path: path(service) },
    ]
}

fn label(service: Service) -> String {
    format!("wanfarm.{}", service.name())
}

fn path(service: Service) -> PathBuf {
    PathBuf::from("/Library/LaunchDaemons").join(format!("{}.plist", label(service)))
}

fn list(service: Service, line: &[String]) -> String {
    let of = if service == Service::Serve { COORDINATOR } else { WORKER };
    let (before, rest) = of.split_once("<key>ProgramArguments</key>\n\t<array>\n").unwrap_or((of, ""));
    let (_, after) = rest.split_once("\t</array>\n").unwrap_or_default();
    let words: String = line.iter().map(|word| format!("\t\t<string>{}</string>\n", escaped(word))).collect();
    format!("{before}<key>ProgramArguments</key>\n\t<array>\n{words}\t</array>\n{after}")
}

/// A text within XML.
fn escaped(word: &str) -> String {
    word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_the_command_line_and_all_else_as_the_guide_has_it() {
        for (service, of) in [(Service::Serve, COORDINATOR), (Service::Worker, WORKER)] {
            let line: Vec<String> = ["/usr/local/bin/coordinator", "x", "a <b> & c"].map(str::to_owned).to_vec();
            let read = |text: &str| {
                let value = plist::Value::from_reader_xml(text.as_bytes()).unwrap();
                value.into_dictionary().unwrap()
            };
            let (mut made, mut shown) = (read(&list(service, &line)), read(of));
            let arguments = made.remove("ProgramArguments").unwrap().into_array().unwrap();
            let arguments: Vec<_> = arguments.into_iter().map(|word| word.into_string().unwrap()).collect();
            assert_eq!(arguments, line);
            assert!(shown.remove("ProgramArguments").is_some());
            assert_eq!(made, shown);
        }
    }
}
