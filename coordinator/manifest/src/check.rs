//! From drafts to requests: sizes, lengths and output names, for one model or before any is known. What videos start from is
//! checked in `starts`.

use std::path::Path;

use wanfarm_types::{
    CacheContext, CacheRequest, ClipLength, ClipSource, Format, FrameOf, Geometry, GeometryError, ImageSource, JobId,
    ModelInfo, VideoRequest, WholeOf, in_order, method,
};

use super::chance::{Draw, Seeds};
use super::clip;
use super::draft::Draft;
use super::drafting::unexpandable;
use super::fault::{Fault, Findings, Place, quote};
use super::film;
use super::images::ImageFile;
use super::keys::{self, MAX_TEXT, NAME, PICTURES, Setting};
use super::loras::{Fits, LoraFile, unusable};
use super::names;
use super::twins::Twins;
use crate::claims::{Claims, Clash, Holder, Wanted};
use crate::first_frame::{self, Image};
use crate::plan;

/// What holds for every model: no Wan model has a finer grid.
pub(crate) const FINEST: Geometry = Geometry { latent_channels: 16, stride_t: 4, stride_hw: 8, patch: 2 };

/// What the requests depend on besides the drafts.
pub(crate) struct Context<'a> {
    pub(crate) job: &'a str,
    pub(crate) model: &'a str,
    pub(crate) images: &'a [ImageFile],
    pub(crate) loras: &'a [LoraFile],
    pub(crate) info: Option<&'a ModelInfo>,
    /// What seeds that are left to chance are drawn by.
    pub(crate) draw: Draw,
    /// Whether names that only the model's preset completes may wait for it.
    pub(crate) preset_may_follow: bool,
}

/// What files are named after.
struct Named<'d> {
    index: usize,
    seed: u64,
    draft: &'d Draft,
    size: [Option<u32>; 2],
}

impl Context<'_> {
    /// The requests of all drafts without a fault.
    pub(crate) fn requests(&self, drafts: &[Draft], found: &mut Findings) -> Vec<VideoRequest> {
        let (mut claims, mut twins, mut seeds) = (Claims::default(), Twins::default(), Seeds::new(self.draw));
        let mut fits = self.info.map(|info| Fits::new(self.loras, info));
        let mut requests = Vec::with_capacity(drafts.len());
        let (sizes, lengths) = (self.sizes(drafts), self.lengths(drafts));
        for (index, (draft, &size)) in drafts.iter().zip(&sizes).enumerate() {
            self.check_size(draft, size, lengths[index], found);
            self.check_image(draft, found);
            self.check_last_image(draft, &sizes, found);
            self.check_frames(draft, &lengths, found);
            self.check_overlap(draft, lengths[index], drafts, found);
            self.check_clip(draft, &lengths, found);
            self.check_cache(draft, found);
            self.check_decode(draft, found);
            if let Some(fits) = &mut fits {
                check_loras(draft, fits, found);
            }
            let seed = seeds.next(draft);
            let path = |setting| self.path(setting, &Named { index, seed, draft, size });
            let (output, join) = (path(Setting::Output), path(Setting::Join));
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
            let Some(join) = found.keep(join) else { continue };
            let waits = join.is_none() && draft.settings.place(Setting::Join).is_some();
            let request = VideoRequest { join, ..self.request(draft, seed, output) };
            if waits || !check_film(draft, &request, found) {
                continue;
            }
            // Files that were not found leave nothing to compare.
            let has = |at: usize| draft.images[at].is_some() || draft.follows[at].is_some();
            let found_all = [has(0), has(1)] == PICTURES.map(|setting| draft.settings.place(setting).is_some())
                && (draft.clip.is_some() || draft.follows[2].is_some())
                    == draft.settings.place(Setting::Video).is_some()
                && draft.loras.len() == draft.settings.loras().len();
            let sized = self.info.map(|_| VideoRequest { width: size[0], height: size[1], ..request.clone() });
            let first = || twins.find(index as u32, sized.as_ref().unwrap_or(&request), self.info);
            if let Some(first) = found_all.then(first).flatten() {
                found.add(twin(draft, &drafts[first as usize]));
                continue;
            }
            let wanted = Wanted::video(Path::new(""), &request);
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
        if requests.len() == drafts.len() && requests.iter().any(|request| request.join.is_some()) {
            self.check_films(drafts, &requests, found);
        }
        requests
    }

    fn check_films(&self, drafts: &[Draft], requests: &[VideoRequest], found: &mut Findings) {
        let Some(info) = self.info else { return };
        let images = |digest: &_| self.images.iter().map(|file| &file.image).find(|image| image.digest == *digest);
        let resolved = plan::each(requests, images, info);
        for (index, draft) in (0u32..).zip(drafts) {
            let spec = |place: u32| resolved.get(place as usize)?.as_ref().ok().map(|(_, spec)| spec);
            if let Some((why, place)) = film::unfit(requests, index, spec).zip(draft.settings.place(Setting::Join)) {
                let help = "give all videos of a film the same width, height and fps, and mp4 among their formats";
                found.add(Fault::at(place, why).why("its pictures are copied as they are").help(help));
            }
        }
    }

    fn request(&self, draft: &Draft, seed: u64, output: String) -> VideoRequest {
        let settings = &draft.settings;
        let [image, last_image] = [0, 1].map(|at| {
            let frame = settings.frame_from(PICTURES[at]).zip(draft.follows[at]);
            let frame = frame.map(|((frame, _), video)| FrameOf { video: video as u32, frame: frame.frame });
            let file = self.image(draft, at).map(|image| ImageSource::File(image.digest));
            frame.map(ImageSource::Frame).or(file)
        });
        let whole = draft.follows[2].map(|video| ClipSource::Video(WholeOf { video: video as u32 }));
        let video = whole.or(self.clip(draft).map(|clip| ClipSource::File(clip.digest)));
        VideoRequest {
            name: draft.name.clone(),
            prompt: draft.prompt.clone(),
            negative: draft.negative.clone(),
            seed,
            width: settings.whole32(Setting::Width),
            height: settings.whole32(Setting::Height),
            frames: settings.whole32(Setting::Frames),
            fps: settings.rate(Setting::Fps),
            steps: settings.whole32(Setting::Steps),
            shift: settings.number(Setting::Shift),
            solver: draft.solver(),
            guidance: settings.guidance(),
            nag: settings.nag(),
            image,
            // In [defaults] it is for the videos that start from something.
            overlap: image.and_then(|_| settings.whole32(Setting::Overlap)),
            last_image,
            video,
            // In [defaults] it is for the videos that have a clip.
            strength: video.and_then(|_| settings.number(Setting::Strength)),
            cache: settings.cache().filter(|cache| **cache != CacheRequest::None).cloned(),
            decode: settings.decode(),
            loras: draft.loras.clone(),
            formats: formats(draft).to_vec(),
            output,
            join: None,
            swept: draft.swept.clone(),
        }
    }

    /// The file of its first frame (0), or of its last (1).
    pub(crate) fn image(&self, draft: &Draft, which: usize) -> Option<&Image> {
        draft.images[which].and_then(|image| self.images.get(image)).map(|file| &file.image)
    }

    /// The clip that it is made from.
    pub(crate) fn clip(&self, draft: &Draft) -> Option<&Image> {
        draft.clip.and_then(|clip| self.images.get(clip)).map(|file| &file.image)
    }

    /// Width and height of all drafts as far as they are decided: of those that start from others after these.
    fn sizes(&self, drafts: &[Draft]) -> Vec<[Option<u32>; 2]> {
        let needs = drafts.iter().map(|draft| draft.follows.iter().flatten().map(|start| *start as u32).collect());
        let mut sizes = vec![[None; 2]; drafts.len()];
        for index in in_order(&needs.collect::<Vec<_>>()).unwrap_or_default() {
            let draft = &drafts[index as usize];
            let before = draft.follows[0].or(draft.follows[2].filter(|_| draft.images[0].is_none()));
            let of_parent = before.and_then(|start| match sizes.get(start) {
                Some(&[Some(width), Some(height)]) => Some([width, height]),
                _ => None,
            });
            sizes[index as usize] = match (of_parent, self.info) {
                (Some(before), Some(info)) => first_frame::size_after(given(draft), before, info),
                _ => self.size(draft, self.image(draft, 0).or(self.clip(draft)).map(Image::size)),
            };
        }
        sizes
    }

    fn size(&self, draft: &Draft, picture: Option<[u32; 2]>) -> [Option<u32>; 2] {
        match (self.info, picture, given(draft)) {
            (None, _, given) => given,
            (Some(info), Some(picture), given) => first_frame::size(given, picture, info),
            (Some(info), _, [width, height]) => {
                [width.or(Some(info.defaults.width)), height.or(Some(info.defaults.height))]
            }
        }
    }

    /// How many frames all drafts have, as far as that is known.
    fn lengths(&self, drafts: &[Draft]) -> Vec<Option<u32>> {
        let needs = drafts.iter().map(|draft| draft.follows[2].iter().map(|whole| *whole as u32).collect());
        let mut lengths = vec![None; drafts.len()];
        for index in in_order(&needs.collect::<Vec<_>>()).unwrap_or_default() {
            let draft = &drafts[index as usize];
            let given = draft.settings.whole32(Setting::Frames);
            lengths[index as usize] = match (self.info, self.clip_length(draft, &lengths)) {
                (Some(info), Some(clip)) => clip::frames(given, draft.settings.rate(Setting::Fps), clip, info).ok(),
                (info, _) => given.or(info.map(|info| info.defaults.frames)),
            };
        }
        lengths
    }

    /// How long the clip is that a draft is made from: a file, or a video of these.
    pub(crate) fn clip_length(&self, draft: &Draft, lengths: &[Option<u32>]) -> Option<ClipLength> {
        let of_other = draft.follows[2].and_then(|whole| *lengths.get(whole)?);
        let of_other = of_other.map(|pictures| ClipLength { pictures, microseconds: None });
        of_other.or_else(|| self.clip(draft)?.clip)
    }

    fn check_size(&self, draft: &Draft, size: [Option<u32>; 2], length: Option<u32>, found: &mut Findings) {
        let geometry = self.info.map_or(FINEST, |info| info.geometry);
        let [width, height] = size.map(|side| side.unwrap_or(geometry.alignment()));
        let frames = length.unwrap_or(1);
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
            let picture = [Setting::Image, Setting::Video].into_iter().find_map(|file| draft.settings.place(file));
            if let (None, Some(at), Setting::Width | Setting::Height) = (place, picture, setting) {
                found.add(
                    Fault::at(at, format!("the size that follows from {} cannot be rendered", at.key))
                        .why(error.to_string())
                        .help("crop it, or set both width and height"),
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
        let settings = [Setting::Width, Setting::Height, Setting::Image, Setting::Video];
        settings.into_iter().find_map(|setting| draft.settings.place(setting)).unwrap_or(&draft.place)
    }

    fn check_cache(&self, draft: &Draft, found: &mut Findings) {
        let settings = &draft.settings;
        let Some((cache, place)) = settings.cache().zip(settings.place(Setting::Cache)) else { return };
        let (solver, guidance) = (draft.solver(), settings.guidance());
        let wrong = match self.info {
            None => cache.contradicts(solver, guidance),
            Some(info) => {
                let (solver, guidance) = method(info, solver, guidance);
                let has = |setting| settings.place(setting).is_some();
                let (has_image, has_clip) = (has(Setting::Image), has(Setting::Video));
                cache.resolve(&CacheContext { info, has_image, has_clip, solver, guidance }).err()
            }
        };
        let Some(wrong) = wrong else { return };
        let fault = Fault::at(place, format!("{} cannot be {}", place.key, cache.name())).why(wrong.to_string());
        found.add(fault.help("change it, or switch it off with cache = \"none\""));
    }

    fn check_decode(&self, draft: &Draft, found: &mut Findings) {
        let Some((info, place)) = self.info.zip(draft.settings.place(Setting::Decode)) else { return };
        if let Err(why) = draft.settings.decode().resolve(info) {
            let fault = Fault::at(place, format!("{} cannot be tiny", place.key)).why(why.to_string());
            found.add(fault.help("put the file there, or write decode = \"full\""));
        }
    }

    /// What a file is called, if the manifest names it; `None` also while that waits for the model's preset.
    fn path(&self, setting: Setting, named: &Named<'_>) -> Result<Option<String>, Fault> {
        let Named { index, seed, draft, size } = *named;
        let Some((template, place)) = draft.settings.template(setting) else { return Ok(None) };
        let (index, slug) = (index.to_string(), names::slug(&draft.prompt));
        let seed = seed.to_string();
        let [width, height] = size.map(|side| side.map(|pixels| pixels.to_string()));
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
                NAME if draft.name.is_some() => draft.name.as_deref(),
                _ => draft.words.iter().find(|(word, _)| **word == *name).map(|(_, text)| &**text),
            }
        };
        template.expand(value, MAX_TEXT).map(Some).map_err(|why| unexpandable(why, place))
    }
}

/// False where a video cannot end the film that it names.
fn check_film(draft: &Draft, request: &VideoRequest, found: &mut Findings) -> bool {
    let (Some(join), Some(place)) = (&request.join, draft.settings.place(Setting::Join)) else { return true };
    let wrong = match film::name_fault(join) {
        Some(why) => (why, "call it film.mp4, with folders before that if you like"),
        None => match film::fault(request) {
            Some(why) => (why, "put join into the last video of a chain, with a path of its own"),
            None => return true,
        },
    };
    found.add(Fault::at(place, format!("{} cannot be a film", quote(join))).why(wrong.0).help(wrong.1));
    false
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
/// The sides that a manifest names.
fn given(draft: &Draft) -> [Option<u32>; 2] {
    [Setting::Width, Setting::Height].map(|setting| draft.settings.whole32(setting))
}

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
