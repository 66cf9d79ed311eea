//! Texts that outlive the videos that read them, so that whoever reads them next needs no encoder. A text is used again
//! only where it was made with the weights that a job is rendered with: no picture is made with two sets of them.

use std::collections::BTreeSet;

use wanfarm_types::{Digest, JobId, Role, TEXT_LEN, VideoId};

use super::{Dirty, Scheduler};
use crate::job::{PoolId, Text};
use crate::kept::KeptText;
use crate::stage_result::{Copy, StageResult};
use crate::worker::Session;
use crate::{Action, ArtifactId, Change, JobPhase, TextKey};

impl Scheduler {
    /// Keeps the result of a text that has lost its last reader, or discards it.
    pub(super) fn keep_or_discard(&mut self, key: TextKey, text: Text) {
        let Text { result: Some(result), weights, last_job: job, .. } = text else { return };
        // Of a text that may have been cut off, whoever reads it has to be told, which the encoder does.
        let is_whole =
            result.tensors.iter().all(|tensor| tensor.shape.first().is_some_and(|rows| *rows < TEXT_LEN as u64));
        let Some(weights) = weights.filter(|_| is_whole && result.is_durable() && self.config.kept_text_bytes > 0)
        else {
            return self.discard(ArtifactId::Text(key), &result);
        };
        let tensors = result.tensors;
        self.record(Change::TextKept { text: key, tensors: tensors.clone(), weights, job });
        self.kept.insert(key, KeptText { tensors, weights, job });
        if let Some(holder) = result.holder {
            self.release(holder);
        }
        self.trim_kept();
    }

    /// Forgets those read longest ago until the others are few enough.
    pub(super) fn trim_kept(&mut self) {
        while let Some(key) = self.kept.beyond(self.config.kept_text_bytes) {
            self.forget_kept(key);
        }
    }

    /// It is encoded anew, or there is no room for it.
    pub(super) fn forget_kept(&mut self, key: TextKey) {
        if self.kept.remove(key).is_some() {
            self.record(Change::ArtifactForgotten(ArtifactId::Text(key)));
            self.act(Action::DeleteDurable(ArtifactId::Text(key)));
        }
    }

    /// Gives a job those kept texts that its open videos read and that were made with the encoder's weights that it is
    /// rendered with; others of them are forgotten. Without an encoder that could tell the weights, all of its texts have to be
    /// there, of one set: then it needs none.
    pub(super) fn use_kept(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.state != JobPhase::Finished) else { return };
        let open = self.job_videos(id).filter(|(_, video)| video.state.is_open());
        let keys: BTreeSet<TextKey> = open.flat_map(|(_, video)| &video.plan.texts).copied().collect();
        let is_wanted = |key: &TextKey| self.texts.get(key).is_some_and(|text| text.result.is_none());
        let kept: Vec<(TextKey, KeptText)> = keys
            .iter()
            .filter(|key| is_wanted(key))
            .filter_map(|&key| Some((key, self.kept.get(key)?.clone())))
            .collect();
        let Some((_, first)) = kept.first() else { return };
        let pool = PoolId { model: job.model, role: Role::TextEncoder };
        let weights = match job.pins.get(&pool.role) {
            Some(&weights) => weights,
            None => {
                let weights = first.weights;
                let others = self.workers.values().filter(|worker| worker.session != Session::Gone);
                let mut others = others.filter_map(|worker| worker.serves.get(&pool));
                let of = |key: &TextKey| match self.texts.get(key) {
                    Some(text) if text.is_usable() => text.weights,
                    _ => self.kept.get(*key).map(|text| text.weights),
                };
                if others.any(|theirs| *theirs != weights) || keys.iter().any(|key| of(key) != Some(weights)) {
                    return;
                }
                weights
            }
        };
        let mut used = false;
        for (key, text) in kept {
            if text.weights != weights {
                self.forget_kept(key);
                continue;
            }
            used = true;
            self.kept.remove(key);
            self.record(Change::ArtifactDurable { artifact: ArtifactId::Text(key), tensors: text.tensors.clone() });
            if let Some(known) = self.texts.get_mut(&key) {
                (known.result, known.weights) = (Some(StageResult::durable(text.tensors)), Some(weights));
                self.dirty.extend(known.readers.iter().map(|&video| Dirty::Video(video)));
                self.dirty.insert(Dirty::Text(key));
            }
        }
        if used {
            self.made_with(id, Role::TextEncoder, weights);
        }
    }

    /// A result of a video is made of its texts, and so with the weights that those were made with.
    pub(super) fn pin_texts(&mut self, id: VideoId) {
        if self.jobs.get(&id.job).is_none_or(|job| job.made.contains(&Role::TextEncoder)) {
            return;
        }
        let texts = self.videos.get(&id).into_iter().flat_map(|video| &video.plan.texts);
        let weights = texts.filter_map(|key| self.texts.get(key)?.weights).next();
        if let Some(weights) = weights {
            self.made_with(id.job, Role::TextEncoder, weights);
        }
    }

    /// Takes from a job the texts that were made with other weights than it is to be rendered with.
    pub(super) fn drop_foreign_texts(&mut self, id: JobId, weights: Digest) {
        let keys: BTreeSet<TextKey> = self.job_videos(id).flat_map(|(_, video)| &video.plan.texts).copied().collect();
        for key in keys {
            let Some(text) = self.texts.get_mut(&key) else { continue };
            if text.weights.take_if(|theirs| *theirs != weights).is_none() {
                continue;
            }
            self.dirty.extend(text.readers.iter().map(|&video| Dirty::Video(video)));
            self.dirty.insert(Dirty::Text(key));
            let Some(mut result) = text.result.take() else { continue };
            let holder = result.holder.take();
            if result.is_copying() {
                // Its copy will come, and must not be taken for that of the next result.
                text.result = Some(StageResult { copy: Copy::Superseded, ..result });
            } else {
                self.discard(ArtifactId::Text(key), &result);
            }
            if let Some(holder) = holder {
                self.release(holder);
            }
        }
    }
}
