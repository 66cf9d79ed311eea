//! What there is to do: units by stage and size, the ways that single videos still have to go, and the longest chain of
//! them.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_scheduler::{Progress, SizeClass, TextKey, VideoPlan};
use wanfarm_types::{Stage, StepRange, in_order};

/// Work that is still to be done, of any number of videos of one model.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    units: BTreeMap<(Stage, SizeClass), Amount>,
    texts: BTreeSet<TextKey>,
    ways: BTreeMap<Kind, Way>,
    /// The chain of videos with the most to compute, one after the other.
    chain: Vec<Part>,
}

/// Work of one stage, at one size.
type Part = (Stage, SizeClass, f64);

/// Steps or items, and what step caches leave of them to be computed.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    count: u64,
    percent: u64,
}

impl Amount {
    fn add(&mut self, count: u64, percent: u64) {
        self.count += count;
        self.percent += percent;
    }

    /// In steps or items that compute everything.
    fn work(self) -> f64 {
        self.percent as f64 / 100.0
    }
}

/// Videos of one kind differ only in how far they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    size: SizeClass,
    encode: Option<SizeClass>,
    decode: Option<SizeClass>,
    steps: u32,
    switch: u32,
    has_image: bool,
    work: Vec<Option<u8>>,
}

/// The video of a kind that has the farthest to go.
#[derive(Debug, Clone)]
struct Way {
    progress: Progress,
    plan: VideoPlan,
}

/// Texts have no size.
const TEXT: SizeClass = SizeClass(0);

/// The stages that a video still has to pass.
pub fn stages_left(plan: &VideoPlan, progress: Progress) -> impl Iterator<Item = Stage> {
    let before_steps = !progress.decoded && progress.steps_done == 0;
    let text = (before_steps && !progress.has_texts).then_some(Stage::EncodeText);
    let image = (before_steps && plan.has_image && !progress.has_image).then_some(Stage::EncodeImage);
    let steps = if progress.decoded { &[][..] } else { &plan.stages[..] };
    let steps = steps_left(steps, progress.steps_done).map(|(stage, _)| stage);
    let decode = (!progress.decoded).then_some(Stage::Decode);
    text.into_iter().chain(image).chain(steps).chain(decode)
}

impl Workload {
    /// The work of videos of which nothing is done.
    pub fn of<'p>(plans: impl IntoIterator<Item = &'p VideoPlan>) -> Self {
        let mut workload = Self::default();
        workload.add_job((0..).zip(plans).map(|(place, plan)| (place, plan, Progress::default())));
        workload
    }

    /// Adds what is left of a job's videos, each with its place in the job's plan, by which others come after it.
    pub fn add_job<'p>(&mut self, videos: impl IntoIterator<Item = (u32, &'p VideoPlan, Progress)>) {
        let videos: BTreeMap<u32, (&VideoPlan, Progress)> =
            videos.into_iter().map(|(place, plan, progress)| (place, (plan, progress))).collect();
        videos.values().for_each(|(plan, progress)| self.add(plan, *progress));
        if videos.values().any(|(plan, _)| !plan.after.is_empty()) {
            let chain = longest_chain(&videos);
            if size(&chain) > size(&self.chain) {
                self.chain = chain;
            }
        }
    }

    /// Adds what is left of a video. A text that several videos read counts once.
    fn add(&mut self, plan: &VideoPlan, progress: Progress) {
        if progress.decoded {
            return;
        }
        let before_steps = progress.steps_done == 0;
        if before_steps && !progress.has_texts {
            let new = plan.texts.iter().filter(|text| self.texts.insert(**text)).count();
            self.units.entry((Stage::EncodeText, TEXT)).or_default().add(new as u64, 100 * new as u64);
        }
        if before_steps && plan.has_image && !progress.has_image {
            self.units.entry((Stage::EncodeImage, plan.size_of(Stage::EncodeImage))).or_default().add(1, 100);
        }
        for (stage, steps) in steps_left(&plan.stages, progress.steps_done) {
            let count = u64::from(steps.end - steps.first);
            self.units.entry((stage, plan.size)).or_default().add(count, plan.work_of(steps));
        }
        self.units.entry((Stage::Decode, plan.size_of(Stage::Decode))).or_default().add(1, 100);
        let kind = Kind {
            size: plan.size,
            encode: plan.encode,
            decode: plan.decode,
            steps: plan.total_steps(),
            switch: plan.stages.first().map_or(0, |(_, steps)| steps.end),
            has_image: plan.has_image,
            work: plan.work.clone(),
        };
        let way = self.ways.entry(kind).or_insert_with(|| Way { progress, plan: plan.clone() });
        if way.progress.steps_done >= progress.steps_done {
            way.progress = progress;
        }
    }

    /// No work is left.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Units by stage and size: steps, or items of stages without steps.
    pub fn units(&self) -> impl Iterator<Item = (Stage, SizeClass, u64)> {
        self.amounts().map(|(stage, size, amount)| (stage, size, amount.count))
    }

    /// The same in units that compute everything: what step caches leave out is not counted, as far as it is known
    /// beforehand.
    pub fn work(&self) -> impl Iterator<Item = (Stage, SizeClass, f64)> {
        self.amounts().map(|(stage, size, amount)| (stage, size, amount.work()))
    }

    fn amounts(&self) -> impl Iterator<Item = (Stage, SizeClass, Amount)> {
        let some = self.units.iter().filter(|(_, amount)| amount.count > 0);
        some.map(|(&(stage, size), &amount)| (stage, size, amount))
    }

    /// Units of one stage, of all sizes.
    pub fn units_of(&self, stage: Stage) -> u64 {
        self.units().filter(|(of, ..)| *of == stage).map(|(.., units)| units).sum()
    }

    /// Work of one stage, of all sizes.
    pub fn work_of(&self, stage: Stage) -> f64 {
        self.work().filter(|(of, ..)| *of == stage).map(|(.., work)| work).sum()
    }

    /// What a single video still has to pass, one stage after the other; of each kind the video with the most.
    pub fn ways(&self) -> impl Iterator<Item = Vec<Part>> {
        self.ways.values().map(|Way { progress, plan }| way(plan, *progress))
    }

    /// What the longest chain of videos still has to pass, each after the one before it.
    pub fn chain(&self) -> &[Part] {
        &self.chain
    }
}

fn way(plan: &VideoPlan, progress: Progress) -> Vec<Part> {
    let mut way = Vec::new();
    if progress.decoded {
        return way;
    }
    if progress.steps_done == 0 {
        way.extend((!progress.has_texts).then_some((Stage::EncodeText, TEXT, 1.0)));
        let image = (Stage::EncodeImage, plan.size_of(Stage::EncodeImage), 1.0);
        way.extend((plan.has_image && !progress.has_image).then_some(image));
    }
    let left = steps_left(&plan.stages, progress.steps_done);
    way.extend(left.map(|(stage, steps)| (stage, plan.size, plan.work_of(steps) as f64 / 100.0)));
    way.push((Stage::Decode, plan.size_of(Stage::Decode), 1.0));
    way
}

/// How much there is to compute, by which chains are compared before speeds are known: tokens, in steps or items.
fn size(parts: &[Part]) -> f64 {
    parts.iter().map(|(_, size, work)| size.0 as f64 * work).sum()
}

/// The chain with the most to compute: of a video that comes after several, the one of them that takes the longest.
fn longest_chain(videos: &BTreeMap<u32, (&VideoPlan, Progress)>) -> Vec<Part> {
    let places = videos.keys().last().map_or(0, |last| *last as usize + 1);
    let mut needs = vec![Vec::new(); places];
    for (place, (plan, _)) in videos {
        // What is done is waited for no more.
        needs[*place as usize] = plan.after.iter().copied().filter(|before| videos.contains_key(before)).collect();
    }
    let (mut sizes, mut before) = (vec![0.0f64; places], vec![None; places]);
    for place in in_order(&needs).unwrap_or_default() {
        let Some((plan, progress)) = videos.get(&place) else { continue };
        let longest =
            needs[place as usize].iter().copied().max_by(|a, b| sizes[*a as usize].total_cmp(&sizes[*b as usize]));
        before[place as usize] = longest;
        sizes[place as usize] = size(&way(plan, *progress)) + longest.map_or(0.0, |longest| sizes[longest as usize]);
    }
    let mut at = (0..places as u32).max_by(|a, b| sizes[*a as usize].total_cmp(&sizes[*b as usize]));
    let mut chain = Vec::new();
    while let Some(place) = at {
        at = before[place as usize];
        let own = videos.get(&place).map(|(plan, progress)| way(plan, *progress)).unwrap_or_default();
        // The texts of what comes later are encoded while it waits.
        chain.extend(own.into_iter().filter(|(stage, ..)| at.is_none() || *stage != Stage::EncodeText));
    }
    chain
}

fn steps_left(stages: &[(Stage, StepRange)], done: u32) -> impl Iterator<Item = (Stage, StepRange)> {
    let left = stages.iter().map(move |&(stage, steps)| (stage, StepRange { first: steps.first.max(done), ..steps }));
    left.filter(|(_, steps)| steps.first < steps.end)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use wanfarm_types::Digest;

    pub(crate) fn video(text: u8, high: u32, steps: u32) -> VideoPlan {
        let range = |first, end| StepRange { first, end };
        VideoPlan {
            texts: vec![TextKey(Digest([text; 32])), TextKey(Digest([255; 32]))],
            has_image: false,
            stages: vec![(Stage::DenoiseHigh, range(0, high)), (Stage::DenoiseLow, range(high, steps))],
            size: SizeClass(1000),
            encode: None,
            decode: None,
            frame: 100,
            kept: 0,
            work: Vec::new(),
            after: Vec::new(),
            name: String::new(),
        }
    }

    #[test]
    fn shared_texts_count_once() {
        let plans: Vec<_> = (0..10).map(|text| video(text % 3, 26, 40)).collect();
        let work = Workload::of(&plans);
        assert_eq!(work.units_of(Stage::EncodeText), 4);
        assert_eq!(work.units_of(Stage::DenoiseHigh), 260);
        assert_eq!(work.units_of(Stage::DenoiseLow), 140);
        assert_eq!(work.units_of(Stage::Decode), 10);
        assert_eq!(work.ways().count(), 1);
    }

    #[test]
    fn what_is_done_is_not_counted() {
        let mut work = Workload::default();
        let plan = VideoPlan { has_image: true, ..video(1, 26, 40) };
        work.add(&plan, Progress { decoded: true, ..Progress::default() });
        assert!(work.is_empty());
        work.add(&plan, Progress { steps_done: 30, ..Progress::default() });
        let size = plan.size;
        assert_eq!(work.units().collect::<Vec<_>>(), [(Stage::DenoiseLow, size, 10), (Stage::Decode, size, 1)]);
        work.add(&plan, Progress { has_texts: true, ..Progress::default() });
        assert_eq!((work.units_of(Stage::EncodeText), work.units_of(Stage::EncodeImage)), (0, 1));
        let ways: Vec<_> = work.ways().collect();
        let whole = [
            (Stage::EncodeImage, size, 1.0),
            (Stage::DenoiseHigh, size, 26.0),
            (Stage::DenoiseLow, size, 14.0),
            (Stage::Decode, size, 1.0),
        ];
        assert_eq!(ways, [whole.to_vec()], "the video with the farthest to go");
    }

    #[test]
    fn what_a_step_cache_leaves_out_is_no_work() {
        let halved = VideoPlan { work: [Some(100), Some(0)].repeat(20), ..video(1, 26, 40) };
        let mut work = Workload::of([&video(1, 26, 40), &halved]);
        assert_eq!((work.units_of(Stage::DenoiseHigh), work.work_of(Stage::DenoiseHigh)), (52, 39.0));
        assert_eq!((work.units_of(Stage::Decode), work.work_of(Stage::Decode)), (2, 2.0));
        assert_eq!(work.ways().count(), 2, "two kinds of video");
        work.add(&halved, Progress { steps_done: 27, has_texts: true, ..Progress::default() });
        assert_eq!(work.work_of(Stage::DenoiseLow), 14.0 + 7.0 + 6.0);
    }
}
