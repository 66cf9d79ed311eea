//! The JSON Schema says what the reader does. The few words of JSON Schema it uses are interpreted here.

use regex::Regex;
use serde_json::{Value, json};

use super::super::keys::{JOB, SERIES, Setting};
use super::super::schema;
use super::*;

/// Why `value` is not of `schema`, if it is not.
fn misfit(schema: &Value, value: &Value) -> Option<String> {
    let fits = |schema: &Value| misfit(schema, value).is_none();
    for (word, rule) in schema.as_object()? {
        let wrong = match word.as_str() {
            "type" => match rule {
                Value::Array(types) => !types.iter().any(|t| fits(&json!({ "type": t }))),
                _ => match rule.as_str()? {
                    "object" => !value.is_object(),
                    "array" => !value.is_array(),
                    "string" => !value.is_string(),
                    "boolean" => !value.is_boolean(),
                    "number" => !value.is_number(),
                    "integer" => !value.is_i64() && !value.is_u64(),
                    other => panic!("type {other}"),
                },
            },
            "minimum" => value.as_f64() < rule.as_f64(),
            "exclusiveMinimum" => value.as_f64() <= rule.as_f64(),
            "maximum" => value.as_f64().zip(rule.as_f64()).is_some_and(|(value, most)| value > most),
            "minLength" => (value.as_str().map_or(0, str::len) as u64) < rule.as_u64()?,
            "maxLength" => value.as_str().map_or(0, str::len) as u64 > rule.as_u64()?,
            "pattern" => !Regex::new(rule.as_str()?).unwrap().is_match(value.as_str()?),
            "maxItems" => value.as_array().map_or(0, Vec::len) as u64 > rule.as_u64()?,
            "minItems" => (value.as_array().map_or(0, Vec::len) as u64) < rule.as_u64()?,
            "uniqueItems" => {
                let items = value.as_array()?;
                items.iter().enumerate().any(|(at, item)| items[..at].contains(item))
            }
            "enum" => !rule.as_array()?.contains(value),
            "anyOf" => !rule.as_array()?.iter().any(fits),
            "required" => rule.as_array()?.iter().any(|key| value.get(key.as_str().unwrap()).is_none()),
            "items" => match value.as_array()?.iter().find_map(|item| misfit(rule, item)) {
                Some(misfit) => return Some(misfit),
                None => false,
            },
            "properties" => {
                let known = rule.as_object()?;
                let extra = &schema["additionalProperties"];
                for (key, item) in value.as_object()? {
                    match known.get(key) {
                        Some(rule) => {
                            if let Some(misfit) = misfit(rule, item) {
                                return Some(format!("{key}: {misfit}"));
                            }
                        }
                        None if extra == &Value::Bool(false) => return Some(format!("{key} is unknown")),
                        None => {
                            if let Some(misfit) = misfit(extra, item) {
                                return Some(format!("{key}: {misfit}"));
                            }
                        }
                    }
                }
                false
            }
            "additionalProperties" | "$schema" | "title" | "description" => false,
            other => panic!("the schema says {other}"),
        };
        if wrong {
            return Some(format!("{value} against {word}"));
        }
    }
    None
}

fn as_json(text: &str) -> Value {
    fn json(value: toml::de::DeValue<'_>) -> Value {
        use toml::de::DeValue::*;
        match value {
            String(text) => text.into(),
            Integer(number) => number.as_str().parse::<u64>().unwrap().into(),
            Float(number) => number.as_str().parse::<f64>().unwrap().into(),
            Boolean(yes) => yes.into(),
            Datetime(date) => date.to_string().into(),
            Array(items) => items.into_iter().map(|item| json(item.into_inner())).collect(),
            Table(table) => table
                .into_iter()
                .map(|(key, value)| (key.into_inner().into_owned(), json(value.into_inner())))
                .collect(),
        }
    }
    json(toml::de::DeValue::Table(toml::de::DeTable::parse(text).unwrap().into_inner()))
}

/// The manifests that the project shows people.
fn examples() -> Vec<(&'static str, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let fenced = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let mut examples: Vec<_> =
        fenced.filter(|text| text.contains("[[video]]")).map(|text| ("README.md", text)).collect();
    assert!(!examples.is_empty(), "the README shows no manifest");
    let demo = std::fs::read_to_string(root.join("deploy/demo/shapes.toml")).unwrap();
    examples.extend([
        ("the documentation", EXAMPLE.to_owned()),
        ("shapes.toml", demo),
        ("reference.toml", include_str!("reference.toml").to_owned()),
    ]);
    examples
}

#[test]
fn every_manifest_that_people_are_shown_is_good() {
    for (name, text) in examples() {
        assert_eq!(misfit(&schema(), &as_json(&text)), None, "{name}");
        let manifest = read(&text).unwrap_or_else(|faults| panic!("{name}:\n{faults}"));
        let videos = manifest.check(Some(&info())).unwrap_or_else(|faults| panic!("{name}:\n{faults}"));
        match name {
            "shapes.toml" => assert_eq!(videos.len(), 12),
            "reference.toml" => {
                assert_eq!(videos.len(), 6);
                assert_eq!((videos[5].output.as_str(), videos[5].seed), ("0005", 6));
                assert!(videos[5].negative.as_ref().unwrap().starts_with("色调艳丽"));
            }
            _ => assert!(!videos.is_empty()),
        }
    }
}

/// What the README shows of settings alone is made a manifest.
#[test]
fn every_setting_that_people_are_shown_is_good() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let fenced = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let settings: Vec<&str> = fenced.filter(|text| !text.contains("[[video]]")).collect();
    assert!(!settings.is_empty());
    for text in settings {
        let whole = format!("[job]\nmodel = 'm'\n{text}\n[[video]]\nprompt = 'p'");
        assert_eq!(misfit(&schema(), &as_json(&whole)), None, "{text}");
        // The files are not here; nothing else is wrong.
        let faults = read(&whole).map_err(|faults| lines(&faults)).err().unwrap_or_default();
        assert!(faults.iter().all(|line| line.contains("cannot be read here")), "{faults:?}");
    }
}

#[test]
fn every_key_is_in_the_schema_and_no_other() {
    let schema = schema();
    let keys = |path: &str| schema.pointer(path).unwrap().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys("/properties/job/properties"), JOB.map(|(name, _)| name));
    let settings = Setting::ALL.map(Setting::name);
    assert_eq!(keys("/properties/defaults/properties"), settings);
    let video = settings.into_iter().chain(SERIES.map(|(name, _)| name)).collect::<Vec<_>>();
    assert_eq!(keys("/properties/video/items/properties"), video);
    for name in video {
        assert!(schema.pointer(&format!("/properties/video/items/properties/{name}/description")).is_some(), "{name}");
    }
}

#[test]
fn schema_and_reader_refuse_the_same_values() {
    let schema = schema();
    for (setting, value, good) in [
        ("steps", "1", true),
        ("steps", "1000", true),
        ("steps", "1001", false),
        ("steps", "0", false),
        ("steps", "2.5", false),
        ("steps", "'2'", false),
        ("fps", "240", true),
        ("fps", "241", false),
        ("fps", "0.5", false),
        ("fps", "24.0", true),
        ("fps", "23.976", true),
        ("fps", "'24000/1001'", true),
        ("fps", "'23.976'", true),
        ("fps", "'24000:1001'", false),
        ("fps", "'fast'", false),
        ("fps", "true", false),
        ("seed", "18446744073709551615", true),
        ("shift", "100", true),
        ("shift", "0.001", true),
        ("shift", "0.0", false),
        ("shift", "100.5", false),
        ("guidance", "0", true),
        ("guidance", "100.0", true),
        ("guidance", "101", false),
        ("guidance", "{high=1,low=2.5}", true),
        ("guidance", "{high=1}", false),
        ("guidance", "{high=1,low=2,mid=3}", false),
        ("solver", "'dpm++'", true),
        ("solver", "'dpm'", false),
        ("formats", "['mp4','png','gif','contact']", true),
        ("formats", "['mp4','mp4']", false),
        ("formats", "[]", false),
        ("negative", "''", true),
        ("output", "''", false),
        ("width", "8192\nformats = ['png']", true),
        ("width", "8193", false),
        ("frames", "4097", true),
        ("frames", "4101", false),
        ("sweep", "{seed=[1,2]}", true),
        ("sweep", "{seed=[]}", false),
        ("sweep", "{steps=[0]}", false),
        ("sweep", "{seed=3}", false),
        ("zip", "{prompt=['a','b'],fps=[8,16]}", true),
        ("image", "[]", false),
        ("image", "[3]", false),
        ("sweep", "{image='a.png'}", false),
        ("cache", "'magcache'", true),
        ("cache", "'magcash'", false),
        ("cache", "{kind='none'}", true),
        ("cache", "{kind='none',start=0}", false),
        ("cache", "{kind='magcache',threshold=0.04,max_skip=2,retention=0.2,joint=true}", true),
        ("cache", "{kind='magcache',retention=1.5}", false),
        ("cache", "{kind='magcache',max_skip=0}", false),
        ("cache", "{kind='magcache',joint=1}", false),
        ("cache", "{kind='cfg-cache',threshold=0.1}", false),
        ("cache", "{threshold=0.1}", false),
        ("cache", "3", false),
        ("loras", "[]", true),
        ("loras", "3", false),
        ("loras", "[3]", false),
        ("loras", "['']", false),
        ("loras", "[{strength=1}]", false),
        ("loras", "[{path='a',strength=101}]", false),
        ("loras", "[{path='a',scale=1}]", false),
        ("sweep", "{cache=['none','sencache']}", true),
        ("sweep", "{cache=[1]}", false),
        ("colour", "'red'", false),
    ] {
        let text = format!("job = {{ model = 'm' }}\n[[video]]\n{setting} = {value}\nnegative = 'n'\nprompt = 'p'");
        let text = match setting {
            "negative" => text.replace("\nnegative = 'n'", ""),
            "zip" => text.replace("\nprompt = 'p'", ""),
            _ => text,
        };
        let read = read(&text);
        let misfit = misfit(&schema, &as_json(&text));
        assert_eq!(read.is_ok(), good, "{setting} = {value}: {:?}", read.map_err(|faults| faults.to_string()).err());
        assert_eq!(misfit.is_none(), good, "{setting} = {value}: {misfit:?}");
    }
}
