//! A notification on the desktop when a job has ended. It is a courtesy: where there is no desktop, or it shows none,
//! nothing happens and nobody is told.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use wanfarm_types::JobSummary;

use crate::progress::counted;

/// A desktop that does not answer for this long is left alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells that a job has ended.
pub(super) async fn ended(job: &JobSummary) {
    let (title, body) = words(job);
    let (program, arguments) = command(cfg!(target_os = "macos"), title, body);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _shown = tokio::time::timeout(PATIENCE, command.status()).await;
}

fn words(job: &JobSummary) -> (String, String) {
    let mut body = format!("{} of {} done", job.done, counted(job.videos, "video"));
    for (count, what) in [(job.failed, "failed"), (job.cancelled, "cancelled")] {
        if count > 0 {
            body += &format!(", {count} {what}");
        }
    }
    (format!("{}: {}", job.name, job.state.name()), body)
}

/// What shows a notification on this system. Texts are arguments, never parts of a script.
fn command(mac: bool, title: String, body: String) -> (&'static str, Vec<String>) {
    let fixed: &[&str] = if mac {
        &[
            "-e",
            "on run texts",
            "-e",
            "display notification (item 2 of texts) with title (item 1 of texts)",
            "-e",
            "end run",
        ]
    } else {
        &["--app-name=wanfarm"]
    };
    let mut arguments: Vec<String> = fixed.iter().map(|&argument| argument.to_owned()).collect();
    // What begins with a dash is a text, too.
    arguments.extend(["--".to_owned(), title, body]);
    (if mac { "osascript" } else { "notify-send" }, arguments)
}

#[cfg(test)]
mod tests {
    use wanfarm_types::JobState;

    use super::*;

    #[test]
    fn a_notification_says_how_a_job_ended() {
        let job = |state, failed, cancelled| JobSummary {
            name: "--night \"1\"".into(),
            state,
            videos: 12,
            done: 12 - failed - cancelled,
            failed,
            cancelled,
            ..JobSummary::default()
        };
        let (title, body) = words(&job(JobState::Done, 0, 0));
        assert_eq!((title.as_str(), body.as_str()), ("--night \"1\": done", "12 of 12 videos done"));
        assert_eq!(words(&job(JobState::Done, 2, 1)).1, "9 of 12 videos done, 2 failed, 1 cancelled");
        for mac in [true, false] {
            let (_, arguments) = command(mac, title.clone(), body.clone());
            assert_eq!(arguments[arguments.len() - 3..], ["--", title.as_str(), body.as_str()]);
        }
    }
}
