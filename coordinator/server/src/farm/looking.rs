//! Looks at output folders, which may lie on a share that does not answer for hours: nobody waits longer for one than
//! this, and only so many threads are stuck in looks that do not return.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::Status;

use crate::limits::FOLDERS_LOOKED_AT;

/// How long a folder may take to answer one question.
const LOOK_TIMEOUT: Duration = Duration::from_secs(15);
/// The same where the question is what a video's files hold, gigabytes perhaps.
const READING: Duration = Duration::from_secs(180);

/// Limits concurrent looks.
#[derive(Debug, Clone)]
pub(super) struct Looking {
    turns: Arc<Semaphore>,
    patience: Duration,
}

/// What an answer to one of several questions is noted in.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<AtomicU64>);

impl Seen {
    /// One more answer has come.
    pub(super) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Looking {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(FOLDERS_LOOKED_AT)), patience: LOOK_TIMEOUT }
    }

    /// For looks that take long, of which one after the other is enough; whoever waits has more patience.
    pub(super) fn one_by_one() -> Self {
        Self { turns: Arc::new(Semaphore::new(1)), patience: READING }
    }

    /// This one, for looks that read files.
    pub(super) fn reading(&self) -> Self {
        Self { patience: READING, ..self.clone() }
    }

    /// What a look at `folder` gives, as long as one answer after the other comes.
    ///
    /// # Errors
    /// The folder does not answer, or others already wait for it.
    pub(super) async fn at<T: Send + 'static>(
        &self,
        folder: &Path,
        look: impl FnOnce(&Seen) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let silent = |what: &str| {
            let (folder, seconds) = (folder.display(), self.patience.as_secs());
            let why = format!("the output folder {folder} does not answer: {what} has taken more than {seconds} s");
            Status::internal(format!("{why}; mend its share or disk, or serve another folder, and ask again"))
        };
        let turn = timeout(self.patience, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| silent("waiting for those who look at it"))?;
        let turn = turn.map_err(|closed| Status::internal(closed.to_string()))?;
        let seen = Seen::default();
        let told = seen.clone();
        let mut looked = tokio::task::spawn_blocking(move || {
            // Kept for as long as the thread runs, even if the caller stops waiting.
            let _turn = turn;
            look(&told)
        });
        loop {
            let before = seen.count();
            match timeout(self.patience, &mut looked).await {
                Ok(looked) => return looked.map_err(|error| Status::internal(error.to_string())),
                Err(_) if seen.count() > before => {}
                Err(_) => return Err(silent("looking at it")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const MOMENT: Duration = Duration::from_millis(50);

    fn looking() -> Looking {
        Looking { patience: MOMENT, ..Looking::new() }
    }

    #[tokio::test]
    async fn a_folder_that_does_not_answer_is_named_and_takes_few_threads() {
        let (looking, folder) = (looking(), Path::new("/share/renders"));
        let mut hung = Vec::new();
        for _ in 0..FOLDERS_LOOKED_AT {
            let (answer, hangs) = mpsc::channel::<()>();
            hung.push(answer);
            let why = looking.at(folder, move |_| hangs.recv()).await.unwrap_err();
            assert!(why.message().contains("/share/renders does not answer: looking"), "{why}");
        }
        let why = looking.at(folder, |_| panic!("no thread is left for it")).await.unwrap_err();
        assert!(why.message().contains("waiting for those who look"), "{why}");
        drop(hung);
        let looking = Looking { patience: LOOK_TIMEOUT, ..looking };
        assert_eq!(looking.at(folder, |_| 7).await.unwrap(), 7, "it answers again");
    }

    #[tokio::test]
    async fn a_look_that_goes_on_may_take_long() {
        let (go_on, steps) = mpsc::channel::<()>();
        let look = move |seen: &Seen| {
            for () in steps {
                seen.one();
            }
            "done"
        };
        let folder = looking();
        let looked = tokio::spawn(async move { folder.at(Path::new("/slow"), look).await });
        let stepper = tokio::task::spawn_blocking(move || {
            for _ in 0..20 {
                go_on.send(()).unwrap();
                std::thread::sleep(MOMENT / 5);
            }
        });
        stepper.await.unwrap();
        assert_eq!(looked.await.unwrap().unwrap(), "done");
    }
}
