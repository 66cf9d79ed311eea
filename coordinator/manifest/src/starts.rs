//! What a video starts from, ends at and is made of, held against the model and against the other videos.

use wanfarm_types::{DEFAULT_STRENGTH, FrameOf, method, pace, steps_run};

use super::check::{Context, FINEST};
use super::clip;
use super::draft::Draft;
use super::fault::{Fault, Findings, quote};
use super::keys::{PICTURES, Setting};
use crate::first_frame::{Image, no_last_frame, unlike};

impl Context<'_> {
    pub(crate) fn check_image(&self, draft: &Draft, found: &mut Findings) {
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

    /// `sizes`: of all drafts, as far as they are decided.
    pub(crate) fn check_last_image(&self, draft: &Draft, sizes: &[[Option<u32>; 2]], found: &mut Findings) {
        let Some(place) = draft.settings.place(Setting::LastImage) else { return };
        let picture = |which: usize| match draft.follows[which].map(|parent| sizes.get(parent)) {
            Some(Some(&[Some(width), Some(height)])) => Some([width, height]),
            Some(_) => None,
            None => self.image(draft, which).map(Image::size),
        };
        if draft.settings.place(Setting::Image).is_none() {
            let fault = Fault::at(place, format!("{} has no image beside it", place.key));
            found.add(fault.why("a last frame is reached from a first one").help("add image = \"first.png\""));
        } else if let Some(info) = self.info.filter(|info| info.takes_image && !info.takes_last_image()) {
            let fault = Fault::at(place, format!("{} takes no last frame", quote(self.model)));
            found.add(fault.why(no_last_frame(info)).help("remove last_image, or name an I2V-A14B model"));
        } else if let Some(why) = picture(0).zip(picture(1)).and_then(unlike) {
            let fault = Fault::at(place, format!("{} has another shape than image", place.key));
            found.add(fault.why(why).help("give them the same shape"));
        }
        let frames = draft.settings.whole32(Setting::Frames);
        if frames == Some(1) {
            let fault = Fault::at(place, format!("{} has no room in a single frame", place.key));
            found.add(fault.why("the one frame is the first").help("set frames = 5 or more"));
        }
    }

    pub(crate) fn check_frames(&self, draft: &Draft, lengths: &[Option<u32>], found: &mut Findings) {
        for (setting, parent) in PICTURES.into_iter().zip(draft.follows) {
            let Some((frame, place)) = draft.settings.frame_from(setting) else { continue };
            let frames = parent.and_then(|parent| lengths.get(parent).copied().flatten());
            let overlap = if setting == Setting::Image { draft.settings.overlap() } else { 1 };
            let start = FrameOf { video: 0, frame: frame.frame };
            if frames.is_some_and(|frames| start.number(frames).is_some() && start.first(overlap, frames).is_none()) {
                let at = draft.settings.place(Setting::Overlap).unwrap_or(place);
                let fault = Fault::at(at, format!("{} has not that many frames before", quote(&frame.from)));
                let why = match frame.frame {
                    Some(number) => format!("up to frame {number} it has {}", number + 1),
                    None => format!("it has {}", frames.unwrap_or_default()),
                };
                found.add(
                    fault.why(why).help("choose a smaller overlap, or a later frame").see(place.span, "of this video"),
                );
            }
            if let Some((number, frames)) = frame.frame.zip(frames).filter(|(number, frames)| number >= frames) {
                let fault = Fault::at(place, format!("{} has no frame {number}", quote(&frame.from)));
                let why = format!("it has {frames}, counted from 0");
                let help = format!("choose one from 0 to {}, or \"last\"", frames.saturating_sub(1));
                found.add(fault.why(why).help(help));
            }
        }
    }

    pub(crate) fn check_overlap(&self, draft: &Draft, length: Option<u32>, drafts: &[Draft], found: &mut Findings) {
        let Some(place) = draft.settings.place(Setting::Overlap) else { return };
        if draft.settings.place(Setting::Image).is_none() {
            if place.key.starts_with(&*draft.place.key) {
                let fault = Fault::at(place, format!("{} has no image beside it", place.key));
                let why = "it says how many frames of another video are carried on from";
                found.add(fault.why(why).help("add image = { from = \"…\" }, or remove overlap"));
            }
            return;
        }
        let (overlap, stride) = (draft.settings.overlap(), self.info.map_or(FINEST, |info| info.geometry).stride_t);
        let whole = (overlap - 1) / stride * stride + 1;
        if whole != overlap {
            let fault = Fault::at(place, format!("{} = {overlap} is not {stride}n+1", place.key));
            let help = format!("write overlap = {whole} or {}", whole + stride);
            found.add(fault.why("known frames are whole latent frames").help(help));
        } else if let Some(length) = length.filter(|length| overlap > 1 && overlap >= *length) {
            let fault = Fault::at(place, format!("{} = {overlap} leaves nothing to render", place.key));
            found.add(fault.why(format!("the video has {length} frames")).help("lower overlap, or raise frames"));
        }
        if overlap == 1 {
            return;
        }
        let rate = |draft: &Draft| draft.settings.rate(Setting::Fps).or(self.info.map(|info| info.defaults.fps));
        let parent = draft.follows[0].and_then(|parent| drafts.get(parent));
        if let Some((own, before)) = rate(draft).zip(parent.and_then(rate)).filter(|(own, before)| own != before) {
            let at = draft.settings.place(Setting::Fps).unwrap_or(place);
            let fault = Fault::at(at, format!("{} carries on at another pace", draft.place.key));
            let why = format!("its fps is {own}, that of the video before {before}");
            found.add(fault.why(why).help("give both the same fps, or remove overlap"));
        }
        let clip = self.image(draft, 0).and_then(|image| image.clip);
        let there = clip.zip(rate(draft)).map(|(clip, rate)| clip.frames(rate));
        if let Some(there) = there.filter(|there| *there < overlap) {
            let fault = Fault::at(place, format!("{} = {overlap} is longer than the clip", place.key));
            found.add(
                fault.why(format!("it has {there} frames at that fps")).help("lower overlap, or give a longer clip"),
            );
        }
    }

    pub(crate) fn check_clip(&self, draft: &Draft, lengths: &[Option<u32>], found: &mut Findings) {
        let settings = &draft.settings;
        let (video, strength) = (settings.place(Setting::Video), settings.place(Setting::Strength));
        let Some(video) = video else {
            if let Some(place) = strength.filter(|place| place.key.starts_with(&*draft.place.key)) {
                let fault = Fault::at(place, format!("{} has no video beside it", place.key));
                let why = "it says how much a clip is changed";
                found.add(fault.why(why).help("add video = \"clip.mp4\", or remove strength"));
            }
            return;
        };
        let Some(info) = self.info else { return };
        if let Some(clip) = self.clip_length(draft, lengths) {
            let given = settings.whole32(Setting::Frames);
            if let Err(why) = clip::frames(given, settings.rate(Setting::Fps), clip, info) {
                let place = settings.place(Setting::Frames).unwrap_or(video);
                let fault = Fault::at(place, format!("{} is longer than its clip", draft.place.key)).why(why);
                found.add(fault.help("ask for fewer frames, or leave frames out: it is then as long as the clip"));
            }
        }
        let strength_is = settings.number(Setting::Strength).unwrap_or(DEFAULT_STRENGTH);
        let (of_solver, _) = pace(info, method(info, draft.solver(), settings.guidance()).0);
        let steps = settings.whole32(Setting::Steps).unwrap_or(of_solver);
        if steps_run(steps, strength_is) == 0 {
            let fault = Fault::at(strength.unwrap_or(video), format!("{} would run no step", draft.place.key));
            let why = format!("{strength_is} of {steps} steps is less than one");
            found.add(fault.why(why).help("raise strength, or steps"));
        }
    }
}
