//! What a person sees and has chosen, and what a key or news change of it. It draws nothing and asks nobody.

use chrono::{DateTime, Utc};
use wanfarm_client::JobVerb;
use wanfarm_types::{JobId, JobState, JobSummary, WorkerId};

use super::night::{Counts, Night};
use crate::progress::counted;

/// How far a page goes.
const PAGE: isize = 10;

/// By how much a key changes a priority, and the highest there is.
const STEP: i32 = 10;
const MOST: u32 = 100;

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Next,
    Previous,
    Escape,
    Interrupt,
    Letter(char),
}

/// What was heard.
#[derive(Debug)]
pub(crate) enum News {
    Night(Box<Night>),
    /// The coordinator does not answer, and why.
    Lost(String),
    /// What came of a wish.
    Came(Result<String, String>),
}

/// What a key asks of the world outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Control(JobId, JobVerb),
    Quit,
    /// As a signal does.
    Interrupt,
}

/// A list on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Rendering,
    Jobs,
    Workers,
}

impl Pane {
    pub(super) const ALL: [Self; 3] = [Self::Rendering, Self::Jobs, Self::Workers];

    fn place(self) -> usize {
        match self {
            Self::Rendering => 0,
            Self::Jobs => 1,
            Self::Workers => 2,
        }
    }
}

/// What a line of a list is about, however the list changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Job(JobId),
    Worker(WorkerId),
}

/// The line that is chosen, and where it was last: when it goes, the one that takes its place is chosen.
#[derive(Debug, Clone, Copy, Default)]
struct Choice {
    row: Option<Row>,
    place: usize,
}

/// Whether anybody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    Lost { since: DateTime<Utc>, why: String },
}

/// Something that is asked before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    job: JobId,
    pub(super) words: String,
}

/// The state of the screen.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(super) url: String,
    pub(super) night: Option<Night>,
    pub(super) link: Link,
    pub(super) pane: Pane,
    choices: [Choice; 3],
    pub(super) question: Option<Question>,
    pub(super) help: bool,
    /// What came of the last key, until the next one.
    pub(super) said: Option<Result<String, String>>,
}

impl Screen {
    /// Of a coordinator that nothing was heard of yet.
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            night: None,
            link: Link::Up,
            pane: Pane::Jobs,
            choices: [Choice::default(); 3],
            question: None,
            help: false,
            said: None,
        }
    }

    pub(crate) fn hear(&mut self, now: DateTime<Utc>, news: News) {
        match news {
            News::Night(night) => {
                self.night = Some(*night);
                self.link = Link::Up;
                Pane::ALL.into_iter().for_each(|pane| self.choose(pane, 0));
            }
            News::Lost(why) => {
                let since = match self.link {
                    Link::Lost { since, .. } => since,
                    Link::Up => now,
                };
                self.link = Link::Lost { since, why };
            }
            News::Came(said) => self.said = Some(said),
        }
    }

    pub(crate) fn press(&mut self, key: Key) -> Option<Wish> {
        self.said = None;
        if key == Key::Interrupt {
            return Some(Wish::Interrupt);
        }
        if let Some(question) = self.question.take() {
            return matches!(key, Key::Letter('y' | 'Y')).then_some(Wish::Control(question.job, JobVerb::Cancel));
        }
        if std::mem::take(&mut self.help) && key != Key::Letter('q') {
            return None;
        }
        match key {
            Key::Up | Key::Letter('k') => self.choose(self.pane, -1),
            Key::Down | Key::Letter('j') => self.choose(self.pane, 1),
            Key::PageUp => self.choose(self.pane, -PAGE),
            Key::PageDown => self.choose(self.pane, PAGE),
            Key::First | Key::Letter('g') => self.choose(self.pane, isize::MIN),
            Key::Last | Key::Letter('G') => self.choose(self.pane, isize::MAX),
            Key::Next => self.pane = Pane::ALL[(self.pane.place() + 1) % 3],
            Key::Previous => self.pane = Pane::ALL[(self.pane.place() + 2) % 3],
            Key::Letter('?' | 'h') => self.help = true,
            Key::Letter('q') => return Some(Wish::Quit),
            Key::Letter('p') => return self.steer(JobVerb::Pause),
            Key::Letter('r') => return self.steer(JobVerb::Resume),
            Key::Letter('c') => return self.steer(JobVerb::Cancel),
            Key::Letter('+') => return self.prioritise(STEP),
            Key::Letter('-') => return self.prioritise(-STEP),
            Key::Escape | Key::Interrupt | Key::Letter(_) => {}
        }
        None
    }

    /// The lines of a list, in order.
    pub(super) fn rows(&self, pane: Pane) -> Vec<Row> {
        let Some(night) = &self.night else { return Vec::new() };
        match pane {
            Pane::Rendering => night.computing().into_iter().map(|worker| Row::Worker(worker.id)).collect(),
            Pane::Jobs => night.jobs_in_order().into_iter().map(|job| Row::Job(job.job)).collect(),
            Pane::Workers => night.workers_in_order().into_iter().map(|worker| Row::Worker(worker.id)).collect(),
        }
    }

    /// The place of the chosen line; 0 of an empty list.
    pub(super) fn chosen(&self, pane: Pane) -> usize {
        self.choices[pane.place()].place
    }

    /// Moves the choice of a list by so many lines; by none, finds it again in a list that has changed.
    fn choose(&mut self, pane: Pane, by: isize) {
        let rows = self.rows(pane);
        let Choice { row, place } = self.choices[pane.place()];
        let place = rows.iter().position(|&each| Some(each) == row).unwrap_or(place);
        let place = place.saturating_add_signed(by).min(rows.len().saturating_sub(1));
        self.choices[pane.place()] = Choice { row: rows.get(place).copied(), place };
    }

    /// The chosen job, where jobs are chosen.
    fn job(&self) -> Result<&JobSummary, String> {
        let Choice { row, .. } = self.choices[Pane::Jobs.place()];
        let jobs = || self.night.iter().flat_map(|night| &night.jobs);
        match self.pane {
            Pane::Jobs => jobs().find(|job| row == Some(Row::Job(job.job))).ok_or_else(|| "there is no job".into()),
            Pane::Rendering | Pane::Workers => Err("that is for jobs: go to their list with Tab".into()),
        }
    }

    /// Lets the selected job go before others, or behind them.
    fn prioritise(&mut self, by: i32) -> Option<Wish> {
        let priority = self.job().map(|job| job.priority).unwrap_or_default();
        self.steer(JobVerb::SetPriority(priority.saturating_add_signed(by).min(MOST)))
    }

    fn steer(&mut self, verb: JobVerb) -> Option<Wish> {
        let job = match self.job() {
            Ok(job) => job,
            Err(why) => {
                self.said = Some(Err(why));
                return None;
            }
        };
        let (number, open) = (job.job, !job.state.is_end());
        let refused = match verb {
            _ if !open => Some("has ended"),
            JobVerb::Pause if job.state == JobState::Paused => Some("is paused already"),
            JobVerb::Resume if job.state != JobState::Paused => Some("is not paused"),
            _ => None,
        };
        if let Some(why) = refused {
            self.said = Some(Err(format!("{} {} {why}", number, job.name)));
            return None;
        }
        if verb != JobVerb::Cancel {
            return Some(Wish::Control(number, verb));
        }
        let counts = Counts::of([job]);
        let rest = counted(counts.videos.saturating_sub(counts.ended()), "video");
        let words = format!("Cancel {number} {}, {rest} not finished? y: yes, any other key: no", job.name);
        self.question = Some(Question { job: number, words });
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn job(number: u64, state: JobState) -> JobSummary {
        let name = format!("night-{number}");
        JobSummary { job: JobId(number), name, state, videos: 20, done: 5, ..JobSummary::default() }
    }

    fn screen(jobs: impl IntoIterator<Item = JobSummary>) -> Screen {
        let mut screen = Screen::new("http://studio-1:7700");
        hear(&mut screen, jobs);
        screen
    }

    fn hear(screen: &mut Screen, jobs: impl IntoIterator<Item = JobSummary>) {
        let night = Night { jobs: jobs.into_iter().collect(), ..Night::default() };
        screen.hear(DateTime::UNIX_EPOCH, News::Night(Box::new(night)));
    }

    #[test]
    fn the_choice_stays_with_its_job_and_then_with_its_place() {
        let active = |numbers: &[u64]| numbers.iter().map(|&number| job(number, JobState::Active)).collect::<Vec<_>>();
        let mut screen = screen(active(&[1, 2, 3, 4]));
        assert_eq!(screen.job().unwrap().job, JobId(1));
        screen.press(Key::Down);
        screen.press(Key::Letter('j'));
        assert_eq!(screen.job().unwrap().job, JobId(3));
        hear(&mut screen, active(&[2, 3, 4]));
        assert_eq!((screen.job().unwrap().job, screen.chosen(Pane::Jobs)), (JobId(3), 1));
        hear(&mut screen, active(&[2, 4]));
        assert_eq!(screen.job().unwrap().job, JobId(4));
        hear(&mut screen, active(&[2]));
        assert_eq!(screen.job().unwrap().job, JobId(2));
        hear(&mut screen, []);
        assert!(screen.job().is_err());
        hear(&mut screen, active(&[7, 8]));
        screen.press(Key::Last);
        screen.press(Key::PageDown);
        assert_eq!(screen.job().unwrap().job, JobId(8));
        screen.press(Key::First);
        screen.press(Key::Up);
        assert_eq!(screen.job().unwrap().job, JobId(7));
    }

    #[test]
    fn a_job_is_paused_and_resumed_at_once_and_cancelled_when_asked() {
        let mut screen = screen([job(1, JobState::Active), job(2, JobState::Paused), job(3, JobState::Done)]);
        assert_eq!(screen.press(Key::Letter('p')), Some(Wish::Control(JobId(1), JobVerb::Pause)));
        assert_eq!(screen.press(Key::Letter('r')), None);
        assert_eq!(screen.said, Some(Err("1 night-1 is not paused".into())));
        screen.press(Key::Down);
        assert_eq!(screen.press(Key::Letter('r')), Some(Wish::Control(JobId(2), JobVerb::Resume)));
        assert_eq!(screen.press(Key::Letter('c')), None);
        assert!(screen.question.as_ref().unwrap().words.contains("Cancel 2 night-2, 15 videos not finished?"));
        assert_eq!(screen.press(Key::Letter('n')), None);
        assert_eq!(screen.question, None);
        screen.press(Key::Letter('c'));
        // The one that was asked about, whatever is heard meanwhile.
        hear(&mut screen, [job(1, JobState::Active), job(4, JobState::Active)]);
        assert_eq!(screen.press(Key::Letter('y')), Some(Wish::Control(JobId(2), JobVerb::Cancel)));
        hear(&mut screen, [job(3, JobState::Done)]);
        assert_eq!(screen.press(Key::Letter('c')), None);
        assert_eq!((screen.question.as_ref(), screen.said.clone()), (None, Some(Err("3 night-3 has ended".into()))));
    }

    #[test]
    fn a_job_goes_before_others_as_far_as_there_is_a_way() {
        let of = |priority| JobSummary { priority, ..job(1, JobState::Active) };
        for (priority, key, wanted) in [(50, '+', 60), (50, '-', 40), (95, '+', 100), (5, '-', 0)] {
            let wish = screen([of(priority)]).press(Key::Letter(key));
            assert_eq!(wish, Some(Wish::Control(JobId(1), JobVerb::SetPriority(wanted))));
        }
    }

    #[test]
    fn only_jobs_are_steered() {
        let mut screen = screen([job(1, JobState::Active)]);
        screen.press(Key::Next);
        assert_eq!((screen.pane, screen.press(Key::Letter('p'))), (Pane::Workers, None));
        assert!(screen.said.as_ref().is_some_and(|said| said.is_err()));
        screen.press(Key::Next);
        assert_eq!((screen.pane, screen.said.clone()), (Pane::Rendering, None), "said until the next key");
        screen.press(Key::Previous);
        screen.press(Key::Previous);
        assert_eq!(screen.pane, Pane::Jobs);
    }

    #[test]
    fn the_help_goes_with_any_key_and_leaving_is_always_possible() {
        let mut screen = screen([job(1, JobState::Active)]);
        screen.press(Key::Letter('?'));
        assert!(screen.help);
        assert_eq!((screen.press(Key::Letter('p')), screen.help), (None, false));
        screen.press(Key::Letter('?'));
        assert_eq!(screen.press(Key::Letter('q')), Some(Wish::Quit));
        screen.press(Key::Letter('c'));
        assert_eq!(screen.press(Key::Interrupt), Some(Wish::Interrupt));
    }

    #[test]
    fn a_loss_keeps_its_beginning_and_what_was_known() {
        let mut screen = screen([job(1, JobState::Active)]);
        let first = DateTime::UNIX_EPOCH;
        screen.hear(first, News::Lost("refused".into()));
        screen.hear(first + chrono::TimeDelta::seconds(9), News::Lost("no route".into()));
        assert_eq!(screen.link, Link::Lost { since: first, why: "no route".into() });
        assert_eq!(screen.rows(Pane::Jobs).len(), 1);
        hear(&mut screen, []);
        assert_eq!(screen.link, Link::Up);
    }
}
