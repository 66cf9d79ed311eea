//! A job and its texts: what videos share. Deliberately without transitions; those are in `scheduler/jobs.rs`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{AttemptId, Digest, ItemSize, JobId, ModelRole, Role, Stage, VideoId};

use crate::JobPhase;
use crate::stage_result::StageResult;
use crate::strikes::Strikes;

/// A model name as a small number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModelId(u32);

/// The workers that hold one role of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolId {
    pub(crate) model: ModelId,
    pub(crate) role: Role,
}

/// Items of one stage, model and size; those that begin something are apart from those that go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneId {
    pub(crate) model: ModelId,
    pub(crate) stage: Stage,
    /// Encoding, or the first denoising step: may be held back while the stages behind are full.
    pub(crate) begins: bool,
    /// Whether there is room for one tells it for all.
    pub(crate) size: ItemSize,
}

impl LaneId {
    /// Of an item from its first step on. Texts have no size.
    pub(crate) fn new(model: ModelId, stage: Stage, first: u32, size: ItemSize) -> Self {
        let size = if stage == Stage::EncodeText { ItemSize::default() } else { size };
        Self { model, stage, begins: stage != Stage::Decode && first == 0, size }
    }

    pub(crate) fn pool(self) -> PoolId {
        PoolId { model: self.model, role: self.stage.role() }
    }
}

/// The names of models seen so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Models {
    ids: BTreeMap<String, ModelId>,
    names: Vec<String>,
}

impl Models {
    pub(crate) fn id(&mut self, name: &str) -> ModelId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = ModelId(self.names.len() as u32);
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    pub(crate) fn find(&self, name: &str) -> Option<ModelId> {
        self.ids.get(name).copied()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ModelId> + use<> {
        (0..self.names.len() as u32).map(ModelId)
    }

    /// A pool in public words.
    pub(crate) fn role(&self, pool: PoolId) -> ModelRole {
        ModelRole { model: self.name(pool.model).to_owned(), role: pool.role }
    }

    pub(crate) fn name(&self, id: ModelId) -> &str {
        self.names.get(id.0 as usize).map_or("", String::as_str)
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) priority: i32,
    pub(crate) model: ModelId,
    pub(crate) state: JobPhase,
    /// How many videos it has.
    pub(crate) videos: u32,
    /// How many of them are open.
    pub(crate) open: u32,
    /// Weights its results are made with.
    pub(crate) pins: BTreeMap<Role, Digest>,
    /// Roles in which there are results.
    pub(crate) made: BTreeSet<Role>,
}

/// A text to encode, shared by its readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) model: ModelId,
    pub(crate) result: Option<StageResult>,
    /// The weights of the encoder that made it, as far as they are known.
    pub(crate) weights: Option<Digest>,
    /// The last job that read it.
    pub(crate) last_job: JobId,
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) strikes: Strikes,
    /// Open videos that read it. Without any it is forgotten, or kept for others.
    pub(crate) readers: BTreeSet<VideoId>,
    /// Those of them that need it now, the most urgent first.
    pub(crate) wanting: BTreeSet<(Reverse<i32>, u8, Reverse<u32>, VideoId)>,
}

impl Text {
    pub(crate) fn new(model: ModelId) -> Self {
        Self {
            model,
            result: None,
            weights: None,
            last_job: JobId(0),
            attempt: None,
            strikes: Strikes::default(),
            readers: BTreeSet::new(),
            wanting: BTreeSet::new(),
        }
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.result.as_ref().is_some_and(StageResult::is_usable)
    }
}
