//! The JSON Schema of a manifest, for editors. Made from the tables that the reader goes by.

use serde_json::{Map, Value, json};

use wanfarm_types::{MAX_STRENGTH, about};

use super::cache::KINDS;
use super::chains;
use super::keys::{self, JOB, RANDOM, Rule, SERIES, Setting};
use super::loras;
use super::nag;

/// The schema, as `coordinator schema` prints it.
pub fn schema() -> Value {
    let job = JOB.map(|(name, about)| {
        let mut schema = match (name, Setting::of(name)) {
            (_, Some(setting)) => of_setting(setting),
            ("priority", _) => {
                json!({ "type": "integer", "minimum": keys::PRIORITY.start(), "maximum": keys::PRIORITY.end() })
            }
            ("early_look", _) => json!({ "type": "boolean" }),
            ("owner", _) => json!({ "type": "string", "minLength": 1, "maxLength": about::MAX_WORD }),
            ("note", _) => json!({ "type": "string", "maxLength": about::MAX_NOTE }),
            ("labels", _) => json!({
                "type": "object",
                "maxProperties": about::MAX_LABELS,
                "propertyNames": { "pattern": "^[A-Za-z0-9._-]+$", "maxLength": about::MAX_WORD },
                "additionalProperties": { "type": "string", "minLength": 1, "maxLength": about::MAX_WORD },
            }),
            _ => json!({ "type": "string", "minLength": 1 }),
        };
        schema["description"] = about.into();
        (name.to_owned(), schema)
    });
    let mut video = settings();
    video["image"] = images();
    video["video"] = clips();
    video["last_image"] =
        about(json!({ "anyOf": [of_rule(Setting::LastImage.rule()), frame_from()] }), Setting::LastImage.about());
    for (name, about) in SERIES {
        let schema = if name == keys::NAME { self::about(video_name(), about) } else { series(about) };
        video.insert(name.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "wanfarm manifest",
        "description": "A night's batch of videos.",
        "type": "object",
        "additionalProperties": false,
        "required": ["job", "video"],
        "properties": {
            "job": {
                "description": "What holds for the job as a whole.",
                "type": "object",
                "additionalProperties": false,
                "required": ["model"],
                "properties": Map::from_iter(job),
            },
            "defaults": {
                "description": "Settings of every video that does not set them; what is absent here too comes from the model.",
                "type": "object",
                "additionalProperties": false,
                "properties": settings(),
            },
            "video": {
                "description": "The videos.",
                "type": "array",
                "minItems": 1,
                "items": { "type": "object", "additionalProperties": false, "properties": video },
            },
        },
    })
}

fn settings() -> Map<String, Value> {
    Setting::all().map(|setting| (setting.name().to_owned(), of_setting(setting))).into_iter().collect()
}

fn of_setting(setting: Setting) -> Value {
    let mut schema = of_rule(setting.rule());
    schema["description"] = setting.about().into();
    schema
}

fn of_rule(rule: Rule) -> Value {
    match rule {
        Rule::Template { may_be_empty } => {
            json!({ "type": "string", "minLength": u8::from(!may_be_empty), "maxLength": keys::MAX_TEXT })
        }
        Rule::Image | Rule::Clip => of_rule(Rule::Template { may_be_empty: false }),
        Rule::Seed => json!({ "anyOf": [of_rule(Rule::Whole(0..=u64::MAX)), { "type": "string", "enum": [RANDOM] }] }),
        Rule::Whole(range) => json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() }),
        Rule::Rate => json!({ "anyOf": [
            { "type": "number", "minimum": 1, "maximum": 240 },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+| *[/] *[0-9]+)?$" },
        ] }),
        Rule::Number { least, above, most } => {
            let lower = if above { "exclusiveMinimum" } else { "minimum" };
            json!({ "type": "number", lower: least, "maximum": most })
        }
        Rule::Word(words) => json!({ "type": "string", "enum": words }),
        Rule::Words(words) => {
            json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "string", "enum": words } })
        }
        Rule::Flag => json!({ "type": "boolean" }),
        Rule::Nag => json!({ "anyOf": [{ "type": "boolean" }, nag()] }),
        Rule::Cache => cache(),
        Rule::Loras => loras(),
        Rule::Guidance { most } => {
            let number = json!({ "type": "number", "minimum": 0, "maximum": most });
            json!({ "anyOf": [number, {
                "type": "object",
                "additionalProperties": false,
                "required": ["high", "low"],
                "properties": { "high": number, "low": number },
            }] })
        }
    }
}

/// One kind of step cache alone, or a table of it.
fn cache() -> Value {
    let kinds = KINDS.iter().map(|kind| {
        let keys = kind.keys.iter().map(|key| (key.name.to_owned(), about(of_rule(key.rule.clone()), key.about)));
        let name = json!({ "type": "string", "enum": [kind.name], "description": kind.about });
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["kind"],
            "properties": Map::from_iter(std::iter::once(("kind".to_owned(), name)).chain(keys)),
        })
    });
    let alone = json!({ "type": "string", "enum": KINDS.map(|kind| kind.name) });
    json!({ "anyOf": std::iter::once(alone).chain(kinds).collect::<Vec<_>>() })
}

fn nag() -> Value {
    let properties = nag::KEYS.map(|(name, rule, words)| (name.to_owned(), about(of_rule(rule), words)));
    json!({ "type": "object", "additionalProperties": false, "properties": Map::from_iter(properties) })
}

fn loras() -> Value {
    let path = json!({ "type": "string", "minLength": 1, "maxLength": keys::MAX_TEXT });
    let properties = loras::KEYS.map(|(name, words)| {
        let schema = match name {
            "strength" => json!({ "type": "number", "minimum": -MAX_STRENGTH, "maximum": MAX_STRENGTH }),
            "expert" => json!({ "type": "string", "enum": loras::EXPERTS }),
            _ => path.clone(),
        };
        (name.to_owned(), about(schema, words))
    });
    let table = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["path"],
        "properties": Map::from_iter(properties),
    });
    json!({ "type": "array", "maxItems": loras::MAX_LORAS, "items": { "anyOf": [path, table] } })
}

fn about(mut schema: Value, words: &str) -> Value {
    schema["description"] = words.into();
    schema
}

/// Several images beside one: a list of them, or a pattern, which reads like a path.
fn images() -> Value {
    let mut one = of_setting(Setting::Image);
    one["description"] = "A path, or a pattern such as shots/*.png.".into();
    json!({
        "description": format!("{} Several, or a pattern such as shots/*.png, make as many videos.", Setting::Image.about()),
        "anyOf": [one, { "type": "array", "minItems": 1, "items": one }, frame_from()],
    })
}

/// Several clips beside one: a list of them, or a pattern; or another video.
fn clips() -> Value {
    let mut one = of_setting(Setting::Video);
    one["description"] = "A path, or a pattern such as clips/*.mp4.".into();
    let whole = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["from"],
        "properties": { "from": about(video_name(), chains::KEYS[0].1) },
    });
    json!({
        "description": format!("{} Several, or a pattern such as clips/*.mp4, make as many videos.", Setting::Video.about()),
        "anyOf": [one, { "type": "array", "minItems": 1, "items": one }, whole],
    })
}

fn video_name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": keys::MAX_NAME })
}

/// A frame of another video.
fn frame_from() -> Value {
    let properties = chains::KEYS.map(|(name, words)| {
        let schema = match name {
            "frame" => json!({ "anyOf": [
                { "type": "string", "enum": chains::FRAMES },
                { "type": "integer", "minimum": 0, "maximum": chains::MAX_FRAME },
            ] }),
            _ => video_name(),
        };
        (name.to_owned(), about(schema, words))
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["from"],
        "properties": Map::from_iter(properties),
    })
}

fn series(about: &str) -> Value {
    let list = |items: Value| json!({ "type": "array", "minItems": 1, "items": items });
    let settings: Map<String, Value> =
        Setting::all().map(|setting| (setting.name().to_owned(), list(of_setting(setting)))).into_iter().collect();
    json!({
        "description": about,
        "type": "object",
        "properties": settings,
        "additionalProperties": list(json!({ "type": ["string", "number", "boolean"] })),
    })
}
