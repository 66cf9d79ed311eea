//! From drafts to requests: sizes, first frames and output names, for one model or before any is known.

use std::path::Path;

use wanfarm_types::{
    CacheContext, CacheRequest, Format, Geometry, GeometryError, JobId, ModelInfo, VideoRequest, method,
};

use super::draft::{Draft, unexpandable};
use super::fault::{Fault, Findings, Place, quote};
use super::images::ImageFile;
use super::keys::{self, MAX_TEXT, Setting};
use super::loras::{Fits, LoraFile, unusable};
use super::names;
use super::twins::Twins;
use crate::claims::{Claims, Clash, Holder, Wanted};
use crate::first_frame::{self, Image};

/// What holds for every model: no Wan model has a finer grid.
pub(crate) const FINEST: Geometry = Geometry { latent_channels: 16, stride_t: 4, stride_hw: 8, patch: 2 };

/// What the requests depend on besides the drafts.
pub(crate) struct Context<'a> {
    pub(crate) job: &'a str,
    pub(crate) model: &'a str,
    pub(crate) images: &'a [ImageFile],
    pub(crate) loras: &'a [LoraFile],
    pub(crate) info: Option<&'a ModelInfo>,
    /// Whether names that only the model's preset completes may wait for it.
    pub(crate) preset_may_follow: bool,
}

impl Context<'_> {
    /// The requests of all drafts without a fault.
    pub(crate) fn requests(&self, drafts: &[Draft], found: &mut Findings) -> Vec<VideoRequest> {
        let (mut claims, mut twins) = (Claims::default(), Twins::default());
        let mut fits = self.info.map(|info| Fits::new(self.loras, info));
        let mut requests = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            self.check_size(draft, found);
            self.check_image(draft, found);
            self.check_cache(draft, found);
            if let Some(fits) = &mut fits {
                check_loras(draft, fits, found);
            }
            let output = self.output(index, draft);
            // A draft with faults may lack what its name is made of; only what is certain is said of it.
            let Some(output) = (if draft.whole { found.keep(output).flatten() } else { output.ok().flatten() }) else {
                continue;
            };
            let Some((_, at)) = draft.settings.template(Setting::Output) else { continue };
            if let Some(why) = names::output_fault(&output) {
                let fault = Fault::at(at, format!("{} is no safe output name", quote(&output)));
                found.add(fault.why(why).help("change output, or the values it names; {slug} is always safe"));
                continue;
            }
            if !draft.whole {
                continue;
            }
            let request = self.request(draft, output);
            // Files that were not found leave nothing to compare.
            let found_all = draft.image.is_some() == draft.settings.place(Setting::Image).is_some()
                && draft.loras.len() == draft.settings.loras().len();
            let sized = self.info.map(|info| first_frame::sized(&request, self.image(draft), info));
            let first = || twins.find(index as u32, sized.as_ref().unwrap_or(&request), self.info);
            if let Some(first) = found_all.then(first).flatten() {
                found.add(twin(draft, &drafts[first as usize]));
                continue;
            }
            let wanted = Wanted::video(Path::new(""), &request.output, &request.formats);
            match claims.clashes(&wanted).into_iter().next() {
                None => claims.claim(Holder { job: JobId(0), video: u32::try_from(index).ok() }, &wanted),
                Some(Clash { path, holder, .. }) => {
                    let holder = holder.video.and_then(|video| drafts.get(video as usize));
                    if let Some(holder) = holder {
                        found.add(clash(draft, at, &path, holder));
                    }
                }
            }
            requests.push(request);
        }
        requests
    }

    fn request(&self, draft: &Draft, output: String) -> VideoRequest {
        let settings = &draft.settings;
        VideoRequest {
            prompt: draft.prompt.clone(),
            negative: draft.negative.clone(),
            seed: settings.whole(Setting::Seed).unwrap_or(0),
            width: settings.whole32(Setting::Width),
            height: settings.whole32(Setting::Height),
            frames: settings.whole32(Setting::Frames),
            fps: settings.rate(Setting::Fps),
            steps: settings.whole32(Setting::Steps),
            shift: settings.number(Setting::Shift),
            solver: settings.solver(),
            guidance: settings.guidance(),
            image: self.image(draft).map(|image| image.digest),
            cache: settings.cache().filter(|cache| **cache != CacheRequest::None).cloned(),
            loras: draft.loras.clone(),
            formats: formats(draft).to_vec(),
            output,
            swept: draft.swept.clone(),
        }
    }

    fn image(&self, draft: &Draft) -> Option<&Image> {
        draft.image.and_then(|image| self.images.get(image)).map(|file| &file.image)
    }

    /// Width and height as far as they are decided.
    fn size(&self, draft: &Draft) -> [Option<u32>; 2] {
        let given = [Setting::Width, Setting::Height].map(|setting| draft.settings.whole32(setting));
        match (self.info, self.image(draft), given) {
            (None, ..) => given,
            (Some(info), Some(image), given) => first_frame::size(given, image, info),
            (Some(info), _, [width, height]) => {
                [width.or(Some(info.defaults.width)), height.or(Some(info.defaults.height))]
            }
        }
    }

    fn check_size(&self, draft: &Draft, found: &mut Findings) {
        let geometry = self.info.map_or(FINEST, |info| info.geometry);
        let given = |setting| draft.settings.whole32(setting);
        let [width, height] = self.size(draft).map(|side| side.unwrap_or(geometry.alignment()));
        let frames = given(Setting::Frames).unwrap_or(self.info.map_or(1, |info| info.defaults.frames));
        let faults = geometry.check(width, height, frames);
        for error in &faults {
            let (setting, below, above) = match *error {
                GeometryError::Misaligned { axis: "width", below, above, .. } => (Setting::Width, below, above),
                GeometryError::Misaligned { below, above, .. } => (Setting::Height, below, above),
                GeometryError::Frames { below, above, .. } => (Setting::Frames, below, above),
                GeometryError::TooLarge { width, .. } if width > 8192 => (Setting::Width, geometry.alignment(), 8192),
                GeometryError::TooLarge { height, .. } if height > 8192 => {
                    (Setting::Height, geometry.alignment(), 8192)
                }
                GeometryError::TooLarge { .. } => (Setting::Frames, 1, 4097),
            };
            let place = draft.settings.place(setting);
            if let (None, Some(at), Setting::Width | Setting::Height) =
                (place, draft.settings.place(Setting::Image), setting)
            {
                found.add(
                    Fault::at(at, format!("the size that follows from {} cannot be rendered", at.key))
                        .why(error.to_string())
                        .help("crop the image, or set both width and height"),
                );
                continue;
            }
            let place = place.unwrap_or(&draft.place);
            let fault = Fault::at(place, format!("{} cannot be rendered", place.key));
            found.add(fault.why(error.to_string()).help(format!("write {} = {below} or {above}", setting.name())));
        }
        if !faults.is_empty() {
            return;
        }
        let place = self.size_place(draft);
        for error in formats(draft).iter().filter_map(|format| format.check_size(width, height).err()) {
            let what = format!("{} cannot be written as {}", draft.place.key, error.format.name());
            let fault = Fault::at(place, what).why(error.to_string());
            found.add(fault.help("choose another size, or other files: formats = [\"png\"]"));
        }
    }

    /// Where that stands which decides a video's size.
    fn size_place<'d>(&self, draft: &'d Draft) -> &'d Place {
        let settings = [Setting::Width, Setting::Height, Setting::Image];
        settings.into_iter().find_map(|setting| draft.settings.place(setting)).unwrap_or(&draft.place)
    }

    fn check_image(&self, draft: &Draft, found: &mut Findings) {
        let Some(info) = self.info else { return };
        match draft.settings.place(Setting::Image) {
            Some(place) if !info.takes_image => found.add(
                Fault::at(place, format!("{} takes no first frame", quote(self.model)))
                    .why("it is a text-to-video model")
                    .help("remove image, or name an image-to-video model"),
            ),
            None if info.needs_image => found.add(
                Fault::at(&draft.place, format!("{} has no image", draft.place.key))
                    .why(format!("{} needs a first frame", quote(self.model)))
                    .help("add image = \"first.png\""),
            ),
            _ => {}
        }
    }

    fn check_cache(&self, draft: &Draft, found: &mut Findings) {
        let settings = &draft.settings;
        let Some((cache, place)) = settings.cache().zip(settings.place(Setting::Cache)) else { return };
        let (solver, guidance) = (settings.solver(), settings.guidance());
        let wrong = match self.info {
            None => cache.contradicts(solver, guidance),
            Some(info) => {
                let (solver, guidance) = method(info, solver, guidance);
                let has_image = settings.place(Setting::Image).is_some();
                cache.resolve(&CacheContext { info, has_image, solver, guidance }).err()
            }
        };
        let Some(wrong) = wrong else { return };
        let fault = Fault::at(place, format!("{} cannot be {}", place.key, cache.name())).why(wrong.to_string());
        found.add(fault.help("change it, or switch it off with cache = \"none\""));
    }

    /// The output name; `None` while it waits for the model's preset.
    fn output(&self, index: usize, draft: &Draft) -> Result<Option<String>, Fault> {
        let Some((template, place)) = draft.settings.template(Setting::Output) else { return Ok(None) };
        let (index, slug) = (index.to_string(), names::slug(&draft.prompt));
        let seed = draft.settings.whole(Setting::Seed).unwrap_or(0).to_string();
        let [width, height] = self.size(draft).map(|side| side.map(|pixels| pixels.to_string()));
        for (name, value) in [("width", &width), ("height", &height)] {
            if value.is_none() && template.names().any(|used| used == name) {
                if self.preset_may_follow {
                    return Ok(None);
                }
                return Err(Fault::at(place, format!("`{{{name}}}` has no value yet"))
                    .why(format!("no worker serves {}, so its preset is unknown", quote(self.model)))
                    .help(format!("set {name} in [defaults]"))
                    .near(format!("{{{name}")));
            }
        }
        let value = |name: &str| -> Option<&str> {
            match name {
                "job" => Some(self.job),
                "index" => Some(&index),
                "slug" => Some(&slug),
                "seed" => Some(&seed),
                "width" => width.as_deref(),
                "height" => height.as_deref(),
                _ => draft.words.iter().find(|(word, _)| **word == *name).map(|(_, text)| &**text),
            }
        };
        template.expand(value, MAX_TEXT).map(Some).map_err(|why| unexpandable(why, place))
    }
}

fn check_loras(draft: &Draft, fits: &mut Fits<'_>, found: &mut Findings) {
    for (lora, wanted) in draft.loras.iter().zip(draft.settings.loras()) {
        let place = &wanted.place;
        if let Err(wrong) = lora.check(fits.info) {
            let fault = Fault::at(place, format!("{} names an expert that is not there", place.key));
            found.add(fault.why(wrong.to_string()).help("leave expert out"));
        } else if let Err(why) = fits.of(lora) {
            found.add(unusable(wanted).why(why).help("name a LoRA that was made for this model's kind and size"));
        }
    }
}

/// The files that a video is written as.
fn formats(draft: &Draft) -> &[Format] {
    draft.settings.formats().unwrap_or(&keys::DEFAULT_FORMATS)
}

fn twin(draft: &Draft, first: &Draft) -> Fault {
    let fault = Fault::at(&draft.place, format!("{} makes a video that is there already", draft.place.key))
        .help("give it another seed, or remove it");
    let why = "prompt, seed, image and all settings are equal, so it would show the same pictures";
    if first.place.span == draft.place.span {
        fault.why(format!("two of its videos differ in nothing: {why}"))
    } else {
        fault.why(why).see(first.place.span, format!("{} makes it", first.place.key))
    }
}

fn clash(draft: &Draft, output: &Place, path: &str, first: &Draft) -> Fault {
    // A template above this video is not this video's fault alone.
    let own = output.key.starts_with(&*draft.place.key);
    let place = if own { output } else { &Place::new(draft.place.span, draft.place.key.clone()) };
    let fault = Fault::at(place, format!("two videos would write to {}", quote(path)));
    let help = "tell them apart with {index}, {seed} or a sweep's name in output";
    if first.place.span == draft.place.span {
        return fault.why(format!("both come from {}", first.place.key)).help(help);
    }
    let other = format!("{} writes to it as well", first.place.key);
    let why = "each video needs files of its own; names that differ only in case are one on macOS and Windows";
    let place = first.settings.place(Setting::Output).filter(|at| at.key.starts_with(&*first.place.key));
    fault.why(why).help(help).see(place.unwrap_or(&first.place).span, other)
}
