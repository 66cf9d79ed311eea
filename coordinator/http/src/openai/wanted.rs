//! What is asked for with this API, as a manifest of one video: so that it is read, checked and named like all others.

use std::collections::BTreeMap;

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use wanfarm_manifest::first_frame;
use wanfarm_server::farm::FarmService;
use wanfarm_types::{Digest, FrameRate, ModelInfo};

use crate::problem::{Answer, Problem};

/// What the manifest calls the first frame.
const PICTURE: &str = "input_reference";

/// What to render. What is absent comes from the model.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OpenAiVideoRequest)]
pub(super) struct Wanted {
    pub(super) prompt: String,
    /// As workers serve it; may be absent where they serve one alone.
    pub(super) model: Option<String>,
    /// Width and height, as `832x480`.
    #[schema(pattern = "^[0-9]{1,4}x[0-9]{1,4}$")]
    pub(super) size: Option<String>,
    /// How long it plays; it has the number of frames next to that which the model makes.
    #[serde(default, deserialize_with = "number")]
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, maximum = 600)]
    pub(super) seconds: Option<f64>,
    /// The first frame, as a `data:` address with base64.
    pub(super) input_reference: Option<String>,
    /// Absent: one that is drawn.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    pub(super) seed: Option<u64>,
    #[schema(minimum = 1, maximum = 240)]
    pub(super) fps: Option<u32>,
    /// Instead of `seconds`.
    #[schema(minimum = 1, maximum = 4097)]
    pub(super) num_frames: Option<u32>,
    #[schema(minimum = 1, maximum = 1000)]
    pub(super) num_inference_steps: Option<u32>,
    #[schema(minimum = 0, maximum = 100)]
    pub(super) guidance_scale: Option<f64>,
    /// Of the expert for the later steps, where there are two.
    #[schema(minimum = 0, maximum = 100)]
    pub(super) guidance_scale_2: Option<f64>,
    pub(super) negative_prompt: Option<String>,
}

/// Reads a number that may stand in quotes, as clients of this API send it.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    use serde::de::Error;
    match Option::<Value>::deserialize(from)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(Value::String(text)) => {
            text.trim().parse().map(Some).map_err(|_| D::Error::custom(format!("{text:?} is no number")))
        }
        Some(other) => Err(D::Error::custom(format!("{other} is no number"))),
    }
}

/// What is wanted, and the first frame that it came with.
pub(super) type WithPicture = (Wanted, Option<Bytes>);

/// Takes the first frame out of its address.
pub(super) fn with_picture(mut wanted: Wanted) -> Answer<WithPicture> {
    let Some(address) = wanted.input_reference.take() else { return Ok((wanted, None)) };
    let bytes = address.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")).map(|(_, bytes)| bytes);
    let bytes = bytes.and_then(|bytes| STANDARD.decode(bytes).ok());
    let why = "input_reference: give a picture as data:image/png;base64,… or as a part of a form; the coordinator fetches \
               nothing from elsewhere";
    Ok((wanted, Some(bytes.ok_or_else(|| Problem::bad_request(why))?.into())))
}

/// The manifest, as JSON, and the files that it names, which are given to the farm.
pub(super) async fn manifest(
    farm: &FarmService,
    wanted: Wanted,
    picture: Option<Bytes>,
) -> Answer<(String, BTreeMap<String, Digest>)> {
    let models = farm.models().await?;
    let info = match &wanted.model {
        Some(model) => models.into_iter().find(|info| info.name == *model),
        None => Some(only(models)?),
    };
    let mut video = video(&wanted, info.as_ref())?;
    let mut files = BTreeMap::new();
    if let Some(picture) = picture {
        if picture.len() as u64 > first_frame::MAX_BYTES {
            let why = format!("input_reference: a picture has at most {} MiB", first_frame::MAX_BYTES >> 20);
            return Err(Problem::new(axum::http::StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        let digest = Digest(*blake3::hash(&picture).as_bytes());
        let bytes = picture.len() as u64;
        farm.put_file(digest, bytes, futures::stream::iter([Ok(picture)])).await?;
        files.insert(PICTURE.to_owned(), digest);
        video.insert("image".into(), PICTURE.into());
    }
    let model = wanted.model.or(info.map(|info| info.name)).unwrap_or_default();
    let manifest = json!({"job": {"name": "video", "model": model}, "video": [video]});
    Ok((manifest.to_string(), files))
}

/// The one model that there is.
fn only(models: Vec<ModelInfo>) -> Answer<ModelInfo> {
    let names = || models.iter().map(|info| info.name.as_str()).collect::<Vec<_>>().join(", ");
    match models.len() {
        0 => Err(Problem::bad_request("model: name one; no worker has announced any yet")),
        1 => models.into_iter().next().ok_or_else(|| Problem::bad_request("model: name one")),
        _ => Err(Problem::bad_request(format!("model: name one of {}", names()))),
    }
}

/// The settings of the video as a manifest has them.
fn video(wanted: &Wanted, info: Option<&ModelInfo>) -> Answer<Map<String, Value>> {
    let mut video = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            video.insert(name.to_owned(), value);
        }
    };
    // Braces in it are letters, and no names of sweeps.
    let literal = |text: &str| Value::from(text.replace('{', "{{").replace('}', "}}"));
    set("prompt", Some(literal(&wanted.prompt)));
    set("negative", wanted.negative_prompt.as_deref().map(literal));
    // As many as every program can hold.
    set("seed", Some(wanted.seed.unwrap_or_else(|| rand::random::<u32>().into()).into()));
    let (width, height) = wanted.size.as_deref().map(size).transpose()?.unzip();
    set("width", width.map(Value::from));
    set("height", height.map(Value::from));
    set("fps", wanted.fps.map(Value::from));
    set("frames", frames(wanted, info)?.map(Value::from));
    set("steps", wanted.num_inference_steps.map(Value::from));
    let guidance = match (wanted.guidance_scale, wanted.guidance_scale_2) {
        (Some(high), Some(low)) => Some(json!({"high": high, "low": low})),
        (Some(both), None) => Some(both.into()),
        (None, Some(_)) => return Err(Problem::bad_request("guidance_scale_2: say guidance_scale as well")),
        (None, None) => None,
    };
    set("guidance", guidance);
    set("output", Some("videos/{index:04}-{slug}-{seed}".into()));
    Ok(video)
}

/// A size as `832x480`; some write a star.
fn size(text: &str) -> Answer<(u32, u32)> {
    let sides = text.split_once(['x', '*', '×']);
    let sides = sides.and_then(|(width, height)| Some((width.trim().parse().ok()?, height.trim().parse().ok()?)));
    sides.ok_or_else(|| Problem::bad_request(format!("size: {text:?} is none; write WIDTHxHEIGHT, 832x480")))
}

/// How many frames: as said, or 4n+1 next to what the seconds make.
fn frames(wanted: &Wanted, info: Option<&ModelInfo>) -> Answer<Option<u32>> {
    let Some(seconds) = wanted.seconds.filter(|_| wanted.num_frames.is_none()) else { return Ok(wanted.num_frames) };
    let usual = info.map(|info| info.defaults.fps);
    let asked = wanted.fps.map(|fps| FrameRate::new(fps, 1)).transpose();
    let rate = asked.map_err(|why| Problem::bad_request(format!("fps: {why}")))?.or(usual);
    let unknown = "seconds: no worker has announced the model yet, so its frame rate is not known; say fps as well";
    let rate = rate.ok_or_else(|| Problem::bad_request(unknown))?;
    if !(seconds > 0.0 && seconds <= 600.0) {
        return Err(Problem::bad_request(format!("seconds: {seconds} is not in 0 to 600")));
    }
    let frames = seconds * f64::from(rate.numerator()) / f64::from(rate.denominator());
    // At most 600 s of 240 frames, so nothing is cut off.
    Ok(Some((frames / 4.0).round() as u32 * 4 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::Experts;
    use wanfarm_types::fixtures::info;

    fn settings(wanted: Wanted) -> Value {
        video(&wanted, Some(&info(Experts::Single))).unwrap().into()
    }

    #[test]
    fn what_is_said_becomes_settings_and_the_rest_is_the_models() {
        let bare = settings(Wanted { prompt: "a {fox}".into(), ..Wanted::default() });
        assert_eq!(bare["prompt"], "a {{fox}}");
        assert!(bare["seed"].as_u64().is_some());
        let names: Vec<&str> = bare.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["prompt", "seed", "output"]);
        let full = settings(Wanted {
            size: Some("832x480".into()),
            seconds: Some(5.0),
            fps: Some(16),
            seed: Some(7),
            num_inference_steps: Some(4),
            guidance_scale: Some(4.0),
            guidance_scale_2: Some(3.0),
            negative_prompt: Some("}".into()),
            ..Wanted::default()
        });
        assert_eq!((&full["width"], &full["height"], &full["frames"]), (&json!(832), &json!(480), &json!(81)));
        assert_eq!((&full["guidance"], &full["negative"]), (&json!({"high": 4.0, "low": 3.0}), &json!("}}")));
    }

    #[test]
    fn seconds_make_the_frames_next_to_them() {
        let of = |seconds, fps| frames(&Wanted { seconds: Some(seconds), fps, ..Wanted::default() }, None);
        for (seconds, fps, wanted) in [(4.0, 24, 97), (5.0, 16, 81), (0.01, 16, 1), (1.0, 1, 1), (600.0, 240, 144_001)]
        {
            assert_eq!(of(seconds, Some(fps)).ok(), Some(Some(wanted)), "{seconds} s of {fps}");
        }
        assert!(of(4.0, None).is_err(), "the rate is not known");
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 601.0] {
            assert!(of(bad, Some(16)).is_err(), "{bad}");
        }
        let exact = Wanted { seconds: Some(4.0), num_frames: Some(13), ..Wanted::default() };
        assert_eq!(frames(&exact, None).ok(), Some(Some(13)));
    }

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!((size("832x480").ok(), size("1280*704").ok()), (Some((832, 480)), Some((1280, 704))));
        for bad in ["", "832", "x", "832x", "-1x4", "832x480x1", "auto"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_picture_comes_in_its_address_and_from_nowhere_else() {
        let of = |address: &str| with_picture(Wanted { input_reference: Some(address.into()), ..Wanted::default() });
        assert_eq!(of("data:image/png;base64,AAEC").ok().unwrap().1.unwrap(), Bytes::from_static(&[0, 1, 2]));
        for bad in ["https://elsewhere.example/a.png", "file:///etc/passwd", "/etc/passwd", "data:image/png,abc", ""] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_may_stand_in_quotes() {
        let read = |text: &str| serde_json::from_str::<Wanted>(text).map(|wanted| wanted.seconds);
        for (text, wanted) in [("8", Some(8.0)), ("\"8\"", Some(8.0)), ("2.5", Some(2.5)), ("null", None)] {
            assert_eq!(read(&format!("{{\"prompt\":\"a\",\"seconds\":{text}}}")).unwrap(), wanted, "{text}");
        }
        assert!(read("{\"prompt\":\"a\",\"seconds\":\"long\"}").is_err());
        assert!(read("{\"prompt\":\"a\",\"second\":8}").is_err());
    }
}
