//! Work on its way out: assignments for workers, finished frames for the writer.

use std::path::Path;

use wanfarm_manifest::first_frame::Image;
use wanfarm_manifest::{Taken, plan};
use wanfarm_scheduler::Input;
use wanfarm_types::{
    Assignment, CoordinatorMessage, Digest, Failure, ItemInputs, Stage, TensorRef, VideoId, VideoState, WorkerId,
};

use super::Driver;
use super::registry::Registry;
use crate::outputs::{Task, Volume};

impl Driver {
    pub(super) fn assign(&mut self, assignment: wanfarm_scheduler::Assignment) {
        let wanfarm_scheduler::Assignment { worker, incarnation, attempt, item, text, inputs, holders, keep, .. } =
            assignment;
        let Some(video) = self.registry.jobs.in_manifest(item.video) else { return };
        let Some(spec) = self.registry.jobs.whole_spec(video) else { return };
        // A video that reads a text twice (prompt = negative prompt) encodes it once; either string will do.
        let is_prompt = |key| plan::text_key(&spec.model, &spec.prompt) == key;
        let text = text.map(|key| if is_prompt(key) { spec.prompt.clone() } else { spec.negative.clone() });
        // Encoding reads the file itself; later stages read what became of it, which the scheduler names.
        let files = spec.files().filter_map(|file| self.registry.images.get(&file)).map(Image::tensor);
        let mut image = if item.stage == Stage::EncodeImage { files.collect() } else { inputs.image };
        // Only the first step reads what the clip became, which comes last.
        if spec.video.is_some() && item.steps.first > 0 {
            image.pop();
        }
        let inputs = ItemInputs { image, ..inputs };
        let locate = |tensor: &TensorRef| (tensor.digest, self.locate(&tensor.digest, &holders, worker));
        let assignment = Assignment {
            attempt,
            item,
            spec,
            text: text.unwrap_or_default(),
            locations: inputs.tensors().map(locate).collect(),
            inputs,
            keep,
        };
        self.tell(worker, incarnation, CoordinatorMessage::Assign(Box::new(assignment)));
    }

    /// Every address that the reader of a tensor can read it from: workers first, the durable copy last. The reader asks
    /// here in any case when none of them delivers it.
    fn locate(&self, digest: &Digest, holders: &[(Digest, WorkerId)], reader: WorkerId) -> Vec<String> {
        let held = holders.iter().filter(|(held, _)| held == digest);
        let held = held.filter_map(|(_, worker)| self.sessions.location(*worker, reader));
        let durable = self.sessions.coordinator(reader).filter(|_| self.copies.holds(digest));
        held.chain(durable).map(|location| location.to_string()).collect()
    }

    pub(super) fn write_outputs(
        &mut self,
        video: VideoId,
        frames: TensorRef,
        holder: WorkerId,
        latents: Option<Digest>,
    ) {
        self.registry.jobs.set_work(video, VideoState::Writing, None, "");
        let Registry { jobs, catalog, ledger, .. } = &self.registry;
        let (place, job) = (jobs.in_manifest(video), jobs.get(video.job));
        let found = place.zip(job).and_then(|(place, job)| {
            let spec = jobs.whole_spec(place)?;
            let line = job.videos().get(place.index as usize)?;
            let written = job.written(place.index).cloned().unwrap_or_default();
            Some((job, spec, job.texts.get(place.index as usize)?, line.notes.clone(), written))
        });
        let Some(((job, spec, texts, notes, written), latents)) = found.zip(latents) else {
            let failure = Failure::deterministic("the video is not in the registry");
            return self.feed(Input::OutputsFailed { video, failure });
        };
        let geometry = catalog.get(&job.submission.model).map(|model| model.info.geometry);
        let shape = geometry.map(|geometry| geometry.latent_shape(spec.width, spec.height, spec.frames));
        let task = Task {
            video,
            latents_shape: shape,
            spec,
            model_files: catalog.get(&job.submission.model).map(|model| model.files(&job.weights)).unwrap_or_default(),
            attempts: ledger.attempts(video, texts),
            notes,
            frames,
            latents,
            volume: self.volume(&job.output),
            overwrite: job.submission.taken == Taken::Overwrite,
            written,
            kept: job.frames_wanted(place.map_or(0, |place| place.index)),
            film: place.and_then(|place| job.film(place.index)),
            origins: place.map(|place| job.origins(place.index)).unwrap_or_default(),
        };
        self.obstacles.writes(video);
        self.outputs.write(task, self.sessions.source(holder));
    }

    /// An output directory, whose volume has to be mounted where it was.
    fn volume(&self, folder: &Path) -> Volume {
        let mut volume = self.outputs.volume(folder);
        if folder != self.outputs.root() {
            volume.expect(self.registry.mounts.get(folder).cloned());
        }
        volume
    }
}
