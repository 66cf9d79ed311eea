//! The same request as a form, as clients send it that have a picture.

use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::wanted::{Wanted, WithPicture};
use crate::input;
use crate::problem::{Answer, Problem};

/// The parts that hold texts and not numbers.
const TEXTS: [&str; 4] = ["prompt", "model", "size", "negative_prompt"];
/// Parts of a form at most.
const MAX_PARTS: usize = 32;

/// The parts of a form: those of the request as JSON, and the first frame as a file.
#[derive(ToSchema)]
#[schema(as = OpenAiVideoForm)]
#[expect(dead_code, reason = "what the document says of it")]
pub(super) struct Form {
    prompt: String,
    model: Option<String>,
    #[schema(pattern = "^[0-9]{1,4}x[0-9]{1,4}$")]
    size: Option<String>,
    #[schema(exclusive_minimum = 0, maximum = 600)]
    seconds: Option<f64>,
    #[schema(value_type = Option<String>, format = Binary)]
    input_reference: Option<Vec<u8>>,
    #[schema(maximum = 9_007_199_254_740_991u64)]
    seed: Option<u64>,
    #[schema(minimum = 1, maximum = 240)]
    fps: Option<u32>,
    #[schema(minimum = 1, maximum = 4097)]
    num_frames: Option<u32>,
    #[schema(minimum = 1, maximum = 1000)]
    num_inference_steps: Option<u32>,
    #[schema(minimum = 0, maximum = 100)]
    guidance_scale: Option<f64>,
    #[schema(minimum = 0, maximum = 100)]
    guidance_scale_2: Option<f64>,
    negative_prompt: Option<String>,
}

/// True for a form with parts.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().map(str::trim) == Some("multipart/form-data")
}

/// Reads a form.
pub(super) async fn read(request: Request) -> Answer<WithPicture> {
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let (mut fields, mut picture) = (Map::new(), None);
    for _ in 0..MAX_PARTS {
        let part = form.next_field().await.map_err(|why| Problem::new(why.status(), why.body_text()))?;
        let Some(part) = part else {
            let wanted: Wanted = input::object(fields)?;
            return Ok((wanted, picture));
        };
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|why| Problem::new(why.status(), why.body_text()))?;
        if name == "input_reference" {
            picture = Some(bytes).filter(|bytes| !bytes.is_empty());
        } else if fields.insert(name.clone(), value(&name, &bytes)?).is_some() {
            return Err(Problem::bad_request(format!("{name}: it comes twice")));
        }
    }
    Err(Problem::bad_request(format!("a form has at most {MAX_PARTS} parts")))
}

/// What a part says. One that has to be a number is refused later, by name, if it is none.
fn value(name: &str, bytes: &Bytes) -> Answer<Value> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::bad_request(format!("{name}: it is no text")))?;
    let number = || text.trim().parse().ok().map(Value::Number);
    Ok(if TEXTS.contains(&name) { None } else { number() }.unwrap_or_else(|| text.into()))
}
