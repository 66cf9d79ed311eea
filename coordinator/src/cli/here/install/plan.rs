//! What is to be done to install a service, or to remove it: pure.

use std::fmt;
use std::path::{Path, PathBuf};

use wanfarm_identity::Invitation;

use super::{launchd, systemd};

/// Where the program lies for everybody.
pub(super) const PROGRAM: &str = "/usr/local/bin/coordinator";

/// A process that is to run all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Service {
    /// The coordinator.
    Serve,
    /// A worker.
    Worker,
}

/// What starts services here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// systemd.
    Linux,
    /// launchd.
    MacOs,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) service: Service,
    /// The program as it was called.
    pub(super) program: PathBuf,
    pub(super) options: Vec<String>,
    pub(super) join: Option<Invitation>,
    /// Folders that it writes to, besides its data.
    pub(super) places: Vec<PathBuf>,
}

/// One thing that is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A file, whole or not at all.
    Write { path: PathBuf, text: String },
    /// A file as another one is, which may run.
    Copy { from: PathBuf, path: PathBuf },
    /// A folder of the service's user.
    Folder { path: PathBuf, owner: &'static str, mode: u32 },
    /// A program. What it says is shown when it fails.
    Run { line: Vec<String> },
    /// The same, unless a user of this name is there.
    RunWithoutUser { user: &'static str, line: Vec<String> },
    /// The same, whatever comes of it: it undoes what may not be there.
    Try { line: Vec<String> },
    /// This program as the service's user, who keeps its membership in the service's data folder.
    RunAs { user: &'static str, membership: PathBuf, line: Vec<String> },
    /// A file that is there no more.
    Remove { path: PathBuf },
}

impl Service {
    /// The subcommand, which is its name.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Worker => "worker",
        }
    }

    /// The name of its data folder, its log and its unit.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Serve => "coordinator",
            Self::Worker => "worker",
        }
    }
}

impl Platform {
    /// Of this machine.
    pub(super) fn here() -> Option<Self> {
        match std::env::consts::OS {
            "linux" => Some(Self::Linux),
            "macos" => Some(Self::MacOs),
            _ => None,
        }
    }

    /// The user that services run as.
    pub(super) fn user(self) -> &'static str {
        match self {
            Self::Linux => "wanfarm",
            Self::MacOs => "_wanfarm",
        }
    }

    /// What services keep.
    pub(super) fn data(self) -> &'static Path {
        Path::new(match self {
            Self::Linux => "/var/lib/wanfarm",
            Self::MacOs => "/usr/local/var/wanfarm",
        })
    }

    /// What they are known by.
    pub(super) fn membership(self) -> PathBuf {
        self.data().join("membership")
    }

    /// Where to read what a service logs.
    pub(super) fn log(self, service: Service) -> String {
        match self {
            Self::Linux => format!("journalctl -u wanfarm-{}", service.name()),
            Self::MacOs => launchd::log(service),
        }
    }

    /// What a service is started with.
    pub(super) fn command_line(self, service: Service, options: &[String]) -> Vec<String> {
        let data = self.data().join(service.name()).display().to_string();
        let fixed = [PROGRAM, service.verb(), "--data", &data].map(str::to_owned);
        fixed.into_iter().chain(options.iter().cloned()).collect()
    }
}

/// The steps that install a service and start it.
pub(super) fn installation(platform: Platform, wanted: &Wanted) -> Vec<Step> {
    let Wanted { service, program, options, join, places } = wanted;
    let user = platform.user();
    let mut steps = vec![Step::RunWithoutUser {
        user,
        line: words(match platform {
            Platform::Linux => systemd::ADD_USER,
            Platform::MacOs => launchd::ADD_USER,
        }),
    }];
    if program != Path::new(PROGRAM) {
        steps.push(Step::Copy { from: program.clone(), path: PROGRAM.into() });
    }
    steps.push(Step::Folder { path: platform.data().to_owned(), owner: user, mode: 0o750 });
    steps.extend(places.iter().map(|path| Step::Folder { path: path.clone(), owner: user, mode: 0o755 }));
    let line = platform.command_line(*service, options);
    if let Some(invitation) = join {
        let line = [PROGRAM.to_owned(), "join".to_owned(), invitation.to_string()].to_vec();
        steps.push(Step::RunAs { user, membership: platform.membership(), line });
    }
    steps.extend(match platform {
        Platform::Linux => systemd::installed(*service, &line, places),
        Platform::MacOs => launchd::installed(*service, &line),
    });
    steps
}

/// The steps that take a service off the machine. What it keeps stays.
pub(super) fn removal(platform: Platform, service: Service) -> Vec<Step> {
    match platform {
        Platform::Linux => systemd::removed(service),
        Platform::MacOs => launchd::removed(service),
    }
}

/// The words of a line in which none needs quotes.
pub(super) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// As a shell would take it.
fn quoted(line: &[String]) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    let word = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    line.iter().map(word).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serve => "the coordinator",
            Self::Worker => "the worker",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, text } => {
                writeln!(f, "write {}:", path.display())?;
                f.write_str(text.trim_end())
            }
            Self::Copy { from, path } => write!(f, "copy {} to {}", from.display(), path.display()),
            Self::Folder { path, owner, mode } => write!(f, "make {}, of {owner}, mode {mode:o}", path.display()),
            Self::Run { line } => write!(f, "run {}", quoted(line)),
            Self::RunWithoutUser { user, line } => write!(f, "unless there is a user {user}, run {}", quoted(line)),
            Self::Try { line } => write!(f, "try {}", quoted(line)),
            Self::RunAs { user, membership, line } => {
                write!(f, "as {user}, with WANFARM_MEMBERSHIP={}, run {}", membership.display(), quoted(line))
            }
            Self::Remove { path } => write!(f, "remove {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(steps: &[Step]) -> String {
        steps.iter().map(|step| format!("{step}\n")).collect()
    }

    fn wanted(service: Service, options: &str) -> Wanted {
        let join = format!("wanfarm://10.0.0.5:7700/wf_1#{}", "ab".repeat(32)).parse().ok();
        Wanted {
            service,
            program: "/tmp/coordinator".into(),
            options: words(options),
            join: join.filter(|_| service == Service::Worker),
            places: if service == Service::Serve { vec!["/srv/my renders".into()] } else { Vec::new() },
        }
    }

    #[test]
    fn everything_that_is_done_is_told() {
        for (name, platform) in [("linux", Platform::Linux), ("macos", Platform::MacOs)] {
            let serve = Wanted {
                options: vec!["--output".into(), "/srv/my renders".into(), "--keep".into(), "7d".into()],
                ..wanted(Service::Serve, "")
            };
            insta::assert_snapshot!(format!("{name}-serve"), told(&installation(platform, &serve)));
            let worker = wanted(Service::Worker, "--models /srv/models --name $HOST%1");
            insta::assert_snapshot!(format!("{name}-worker"), told(&installation(platform, &worker)));
            insta::assert_snapshot!(format!("{name}-removed"), told(&removal(platform, Service::Worker)));
        }
    }

    #[test]
    fn the_program_is_not_copied_over_itself() {
        let wanted = Wanted { program: PROGRAM.into(), ..wanted(Service::Worker, "") };
        let steps = installation(Platform::Linux, &wanted);
        assert!(!steps.iter().any(|step| matches!(step, Step::Copy { .. })));
    }
}
