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

fn repository() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// What the README shows: manifests, and settings alone.
fn readme() -> (Vec<String>, Vec<String>) {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let fenced = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    fenced.partition(|text| text.contains("[[video]]"))
}

/// The manifests that the project shows people.
fn examples() -> Vec<(&'static str, String)> {
    let (examples, _) = readme();
    assert!(!examples.is_empty(), "the README shows no manifest");
    let mut examples: Vec<_> = examples.into_iter().map(|text| ("README.md", text)).collect();
    let demo = std::fs::read_to_string(repository().join("deploy/demo/shapes.toml")).unwrap();
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
    let (_, settings) = readme();
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
    let settings = Setting::all().map(Setting::name);
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
    // A setting, values that are good, and values that are not, with a space between them.
    for (setting, good, bad) in [
        ("steps", "1 1000", "1001 0 2.5 '2'"),
        ("fps", "240 24.0 23.976 '24000/1001' '23.976'", "241 0.5 '24000:1001' 'fast' true"),
        ("seed", "18446744073709551615", ""),
        ("shift", "100 0.001", "0.0 100.5"),
        ("guidance", "0 100.0 {high=1,low=2.5}", "101 {high=1} {high=1,low=2,mid=3}"),
        ("solver", "'dpm++'", "'dpm'"),
        ("formats", "['mp4','png','gif','contact']", "['mp4','mp4'] []"),
        ("negative", "''", ""),
        ("output", "", "''"),
        ("width", "8192\nformats=['png']", "8193"),
        ("frames", "4097", "4101"),
        (
            "sweep",
            "{seed=[1,2]} {cache=['none','sencache']}",
            "{seed=[]} {steps=[0]} {seed=3} {image='a.png'} {cache=[1]}",
        ),
        ("zip", "{prompt=['a','b'],fps=[8,16]}", ""),
        (
            "image",
            "",
            "[] [3] {} {from=''} {frame=0} {from='a',frame='middle'} {from='a',frame=4097} {from='a',at=1} [{from='a'}]",
        ),
        ("name", "'a' 'shot-01'", "'' 3 ['a']"),
        (
            "cache",
            "'magcache' {kind='none'} {kind='magcache',threshold=0.04,max_skip=2,retention=0.2,joint=true}",
            "'magcash' {kind='none',start=0} {kind='cfg-cache',threshold=0.1} {threshold=0.1} 3",
        ),
        ("cache", "", "{kind='magcache',retention=1.5} {kind='magcache',max_skip=0} {kind='magcache',joint=1}"),
        (
            "nag",
            "true false {} {scale=11,tau=2.5,alpha=0.25} {alpha=1}",
            "1 'on' {scale=0.5} {tau=11} {alpha=2} {beta=1}",
        ),
        ("decode", "'tiny' 'full'", "'small' true 3 {kind='tiny'}"),
        ("loras", "[]", "3 [3] [''] [{strength=1}] [{path='a',strength=101}] [{path='a',scale=1}]"),
        ("colour", "", "'red'"),
    ] {
        let (good, bad) = (good.split_terminator(' '), bad.split_terminator(' '));
        for (value, ok) in good.map(|value| (value, true)).chain(bad.map(|value| (value, false))) {
            let text = format!("job = {{ model = 'm' }}\n[[video]]\n{setting} = {value}\nnegative = 'n'\nprompt = 'p'");
            let text = match setting {
                "negative" => text.replace("\nnegative = 'n'", ""),
                "zip" => text.replace("\nprompt = 'p'", ""),
                _ => text,
            };
            let read = read(&text);
            let misfit = misfit(&schema, &as_json(&text));
            assert_eq!(read.is_ok(), ok, "{setting} = {value}: {:?}", read.map_err(|faults| faults.to_string()).err());
            assert_eq!(misfit.is_none(), ok, "{setting} = {value}: {misfit:?}");
        }
    }
}
