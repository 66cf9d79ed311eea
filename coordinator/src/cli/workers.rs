//! `coordinator workers`.

mod log;

use wanfarm_client::{Client, WorkerVerb, span};
use wanfarm_types::{Role, Size, Stage, WorkerMemory, WorkerStatus};

use super::reference::{pick_worker, workers_called};
use super::say::{out, outln};
use super::table::table;
use super::{CliError, CoordinatorArg, block_on, print_json};
use crate::clock::{Clock, moment};
use crate::exit::Exit;
use crate::logging;
use crate::progress::loading;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator workers                     who is there, what each one computes
  coordinator workers drain studio-3      it finishes its steps, then it ends
  coordinator workers enable studio-3     work again, also if it was set aside
  coordinator workers assign studio-3 dit-low,vae   only this work from now on
  coordinator workers assign studio-3 --auto        all that it serves again
  coordinator workers note studio-3 'fan is loud'   for whoever looks next
  coordinator workers log studio-3 --follow         what it logs, as it does
  coordinator workers forget studio-3     off the list, if it is gone

States: idle, busy, draining (still finishing), left (drained) (its process has ended), drained (started again since,
gets nothing until it is enabled), set aside (failed too often), refused (other weights than a job is rendered with, in every role),
lost (its connection broke, its work is kept for a while), gone.")]
pub(super) struct WorkersArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them; what `workers` alone does.
    List,
    /// Give a worker nothing more. It finishes the steps it has, what only it holds is copied, then its process ends
    /// (exit code 0). Started again it stays without work until it is enabled; draining it once more ends that one too.
    Drain {
        /// Its name, or the start of its id.
        worker: String,
    },
    /// Give a worker work again.
    Enable {
        /// Its name, or the start of its id.
        worker: String,
    },
    /// Give a worker work of some roles only, for good: also after it, or the coordinator, has started again. What it runs
    /// of another role stops after its step and goes on elsewhere; weights it is to hold no longer go before its next item.
    Assign {
        /// Its name, or the start of its id.
        worker: String,
        /// The roles, of those that it serves.
        #[arg(value_delimiter = ',', required_unless_present = "auto", conflicts_with = "auto")]
        roles: Vec<Role>,
        /// Give it work of all that it serves again: what it holds is left to the coordinator, as before.
        #[arg(long)]
        auto: bool,
    },
    /// Remember something of a worker, for whoever looks next; it takes the place of what was said before.
    Note {
        /// Its name, or the start of its id.
        worker: String,
        /// What there is to say, at most 4000 characters.
        #[arg(required_unless_present = "remove", conflicts_with = "remove")]
        text: Option<String>,
        /// Say nothing of it any more.
        #[arg(long)]
        remove: bool,
    },
    /// Show what a worker logs: at most its last thousand lines since the coordinator was started, also when it is gone.
    Log(log::LogArgs),
    /// Take a worker that is gone off the list, with what was decided about it; with a name, all of that name that are.
    Forget {
        /// Its name, or the start of its id.
        worker: String,
    },
}

pub(super) fn workers(args: WorkersArgs) -> Result<Exit, CliError> {
    logging::quiet();
    block_on(async {
        let mut client = Client::connect(&args.coordinator.target()?).await?;
        let mut workers = client.workers().await?;
        let (name, verb) = match args.verb {
            None | Some(Verb::List) => {
                if args.json {
                    print_json(&serde_json::json!({ "workers": workers }))?;
                } else {
                    out!("{}", lines(&workers, Clock::now()));
                }
                return Ok(Exit::Ok);
            }
            Some(Verb::Drain { worker }) => (worker, WorkerVerb::Drain),
            Some(Verb::Enable { worker }) => (worker, WorkerVerb::Enable),
            Some(Verb::Assign { worker, auto: true, .. }) => (worker, WorkerVerb::Auto),
            Some(Verb::Assign { worker, roles, .. }) => (worker, WorkerVerb::Assign(roles.into_iter().collect())),
            Some(Verb::Note { worker, text, .. }) => (worker, WorkerVerb::Note(text)),
            Some(Verb::Log(asked)) => {
                let worker = pick_worker(&asked.worker, &workers)?.id;
                return log::log(&mut client, worker, &asked, args.json).await;
            }
            Some(Verb::Forget { worker }) => return forget(&mut client, &worker, &workers, args.json).await,
        };
        let id = pick_worker(&name, &workers)?.id;
        client.control_worker(id, verb).await?;
        workers = client.workers().await?;
        let Some(worker) = workers.iter().find(|worker| worker.id == id) else { return Ok(Exit::Ok) };
        if args.json {
            print_json(worker)?;
        } else {
            let note = worker.note.as_ref().map(|note| format!("; {note}"));
            outln!("{}: {}, {}{}", worker.name, worker.state, roles_of(worker), note.unwrap_or_default());
        }
        Ok(Exit::Ok)
    })
}

/// Forgets those of a name that are gone.
async fn forget(client: &mut Client, name: &str, workers: &[WorkerStatus], json: bool) -> Result<Exit, CliError> {
    let called = workers_called(name, workers)?;
    let (gone, living): (Vec<&WorkerStatus>, Vec<&WorkerStatus>) =
        called.into_iter().partition(|worker| worker.is_gone());
    // The coordinator says why not.
    let forgotten = if gone.is_empty() { &living } else { &gone };
    for worker in forgotten {
        client.control_worker(worker.id, WorkerVerb::Forget).await?;
    }
    if json {
        print_json(&serde_json::json!({ "forgotten": forgotten }))?;
    } else {
        for worker in forgotten {
            outln!("{} ({}): forgotten", worker.name, worker.id);
        }
    }
    Ok(Exit::Ok)
}

/// What a worker has in memory, against what it may; or how far the loading is.
fn holds(memory: &WorkerMemory) -> String {
    let loaded: Vec<&str> = memory.loaded.iter().map(|loaded| loaded.role.name()).collect();
    let loading = memory.loading.as_ref().map(|load| format!("{} {}; ", load.role.role, loading(load.progress)));
    let (used, budget) = (Size(memory.weights_bytes), Size(memory.budget_bytes));
    format!("{}{} {used} of {budget}", loading.unwrap_or_default(), loaded.join(",")).trim_start().to_owned()
}

/// What it is given work of.
fn roles_of(worker: &WorkerStatus) -> String {
    let names = |roles: &[Role]| roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(",");
    worker.assigned.as_deref().map_or_else(|| names(&worker.roles), |roles| format!("only {}", names(roles)))
}

/// When one that is not there was there last.
fn last_seen(worker: &WorkerStatus, clock: Clock) -> Option<String> {
    let seen = worker.last_seen.as_deref().filter(|_| worker.is_gone() || worker.state == "lost").and_then(moment)?;
    Some(format!("last seen {}, {} ago", clock.short(seen), span(clock.since(seen))))
}

/// How much of the time that it was there it computed, as a whole percentage.
fn busy(worker: &WorkerStatus) -> String {
    worker.busy.map(|share| format!("{:.0}%", share * 100.0)).unwrap_or_default()
}

fn lines(workers: &[WorkerStatus], clock: Clock) -> String {
    if workers.is_empty() {
        return "no workers yet; start one with: coordinator worker --coordinator URL --models DIR\n".to_owned();
    }
    let stage = |stage: Option<Stage>| stage.map_or("unknown", Stage::name);
    let row = |worker: &WorkerStatus| {
        let running = worker.running.as_ref().map(|item| match item.steps {
            0 => format!("{} {}", item.video, stage(item.stage)),
            steps => format!("{} {} {}/{steps}", item.video, stage(item.stage), item.steps_done),
        });
        let paces = worker.paces.iter().map(|pace| format!("{} {:.2} s", stage(pace.stage), pace.seconds));
        let said: Vec<String> = last_seen(worker, clock).into_iter().chain(worker.detail.clone()).collect();
        let last = if said.is_empty() { paces.collect::<Vec<_>>().join(", ") } else { said.join("; ") };
        // The beginning of a long note; the rest is in the JSON and on the page.
        let note = worker.note.as_deref().and_then(|note| note.lines().next());
        let last = [last.as_str(), note.unwrap_or_default()].into_iter().filter(|text| !text.is_empty());
        let last = last.collect::<Vec<_>>().join("; ");
        [
            worker.name.clone(),
            worker.id.to_string().chars().take(8).collect(),
            worker.state.clone(),
            roles_of(worker),
            worker.memory.as_ref().map_or_else(|| "all".to_owned(), holds),
            worker.models.join(","),
            worker.device.clone(),
            busy(worker),
            running.unwrap_or_default(),
            last,
        ]
    };
    table(
        ["NAME", "ID", "STATE", "ROLES", "HOLDS", "MODELS", "DEVICE", "BUSY", "RUNS", "PACE"],
        workers.iter().map(row),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::at;

    #[test]
    fn of_a_worker_that_is_not_there_it_is_told_when_it_was() {
        let worker = |name: &str, state: &str| WorkerStatus {
            name: name.into(),
            state: state.into(),
            last_seen: Some("2026-11-29T21:04:05.250Z".into()),
            busy: Some(0.63),
            ..WorkerStatus::default()
        };
        let note = Some("fan is loud\nsince Monday".into());
        let lost = WorkerStatus { detail: Some("no vae work".into()), note, ..worker("b", "lost") };
        let text = lines(&[worker("a", "idle"), lost], at("2026-11-29T21:07:25Z"));
        let [head, here, lost] = text.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(head.contains("BUSY") && here.contains("63%") && !here.contains("seen"), "{text}");
        assert!(lost.ends_with("last seen 21:04, 3m 20s ago; no vae work; fan is loud"), "{text}");
    }
}
