//! What is to be done to install a service, or to remove it: pure.

use std::path::{Path, PathBuf};

use wanfarm_identity::Invitation;

use super::step::{Service, Step, words};
use super::{launchd, systemd};

/// Where the program lies for everybody.
pub(super) const PROGRAM: &str = "/usr/local/bin/coordinator";

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
