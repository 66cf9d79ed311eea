//! A manifest as a job template of Open Job Description 2023-09.
//!
//! Every task runs `coordinator run` on the whole manifest, which is embedded, and picks its videos by their places in it: so
//! output names are those of an undivided run, and no two tasks write to one file. Working data lie in the session's
//! folder, which the worker removes; what a task that is tried again finds finished stays.

use std::num::NonZeroU32;

use serde::Serialize;
use wanfarm_manifest::{Manifest, one_line};

/// Longest name of a job, in characters.
const MAX_NAME: usize = 128;
/// Seconds that a task has to stop its workers when it is cancelled.
const NOTIFY_SECONDS: u32 = 60;

/// A job template.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Template {
    specification_version: &'static str,
    name: String,
    description: String,
    parameter_definitions: Vec<Parameter>,
    steps: [Step; 1],
}

/// Something that whoever submits the job may choose.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameter {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_flow: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_values: Option<[&'static str; 2]>,
    description: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: &'static str,
    parameter_space: Space,
    script: Script,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Space {
    task_parameter_definitions: [TaskParameter; 1],
}

#[derive(Debug, Serialize)]
struct TaskParameter {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    range: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Script {
    embedded_files: [EmbeddedFile; 1],
    actions: Actions,
}

#[derive(Debug, Serialize)]
struct EmbeddedFile {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    filename: &'static str,
    data: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Actions {
    on_run: Action,
}

#[derive(Debug, Serialize)]
struct Action {
    command: &'static str,
    args: Vec<String>,
    cancelation: Cancelation,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cancelation {
    mode: &'static str,
    notify_period_in_seconds: u32,
}

/// The template of a manifest, whose tasks have so many videos each. `None`: the manifest can be read no more.
pub(super) fn template(manifest: &Manifest, videos_per_task: NonZeroU32) -> Option<Template> {
    let last = manifest.videos().saturating_sub(1);
    let needs_files = !manifest.images.is_empty() || !manifest.loras.is_empty();
    // Texts in double braces would be taken for names of the template's.
    let name = manifest.name.replace("{{", "{ {").replace("}}", "} }");
    let range = match videos_per_task.get() {
        1 => format!("0-{last}"),
        several => format!("0-{last}:{several}"),
    };
    let video = TaskParameter { name: "Video", kind: "INT", range };
    let manifest_file =
        EmbeddedFile { name: "Manifest", kind: "TEXT", filename: "manifest.json", data: manifest.to_json()? };
    let cancelation = Cancelation { mode: "NOTIFY_THEN_TERMINATE", notify_period_in_seconds: NOTIFY_SECONDS };
    let on_run =
        Action { command: "{{Param.Coordinator}}", args: arguments(videos_per_task, needs_files), cancelation };
    Some(Template {
        specification_version: "jobtemplate-2023-09",
        name: one_line(&name, MAX_NAME).into_owned(),
        description: format!(
            "{} videos of the model {}, rendered by wanfarm {}.",
            manifest.videos(),
            manifest.model,
            env!("CARGO_PKG_VERSION")
        ),
        parameter_definitions: parameters(needs_files),
        steps: [Step {
            name: "Render",
            parameter_space: Space { task_parameter_definitions: [video] },
            script: Script { embedded_files: [manifest_file], actions: Actions { on_run } },
        }],
    })
}

/// How a task calls the program.
fn arguments(videos_per_task: NonZeroU32, needs_files: bool) -> Vec<String> {
    let count = videos_per_task.to_string();
    let mut words = vec!["run", "{{Task.File.Manifest}}", "--video", "{{Task.Param.Video}}"];
    if videos_per_task.get() > 1 {
        words.extend(["--count", &count]);
    }
    words.extend(["--models", "{{Param.Models}}", "--output", "{{Param.Output}}"]);
    if needs_files {
        words.extend(["--files", "{{Param.Files}}"]);
    }
    words.extend(["--data", "{{Session.WorkingDirectory}}/wanfarm", "{{Param.Taken}}"]);
    words.into_iter().map(str::to_owned).collect()
}

fn parameters(needs_files: bool) -> Vec<Parameter> {
    let path = |name, data_flow, default, description| Parameter {
        name,
        kind: "PATH",
        object_type: Some("DIRECTORY"),
        data_flow: Some(data_flow),
        default,
        allowed_values: None,
        description,
    };
    let text = |name, default, allowed_values, description| Parameter {
        name,
        kind: "STRING",
        object_type: None,
        data_flow: None,
        default: Some(default),
        allowed_values,
        description,
    };
    let models = "Where workers have the folders of models, one subfolder per model.";
    let output = "Where finished files go.";
    let files = "The folder of pictures, clips and LoRA files, which the manifest names relative to it.";
    let coordinator = "The program on workers: in their search path, or with its whole path.";
    let taken = "Videos that stand there whole are left out, or replaced.";
    let mut all = vec![path("Models", "NONE", None, models), path("Output", "OUT", Some("output"), output)];
    if needs_files {
        all.push(path("Files", "IN", Some("."), files));
    }
    all.push(text("Coordinator", "coordinator", None, coordinator));
    all.push(text("Taken", "--skip-existing", Some(["--skip-existing", "--overwrite"]), taken));
    all
}

#[cfg(test)]
mod tests {
    use wanfarm_manifest::Syntax;

    use super::*;

    fn exported(text: &str, videos_per_task: u32) -> serde_json::Value {
        let manifest = Manifest::parse("night.toml", Syntax::Toml, text, None).unwrap();
        serde_json::to_value(template(&manifest, NonZeroU32::new(videos_per_task).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn each_task_renders_its_videos_of_the_same_manifest() {
        let text =
            "[job]\nname = 'a {{b}}'\nmodel = 'm'\n[[video]]\nprompt = 'x {{y}}'\nsweep = { seed = [1, 2, 3, 4, 5] }";
        let one = exported(text, 1);
        assert_eq!(one["name"], "a { {b} }");
        let step = &one["steps"][0];
        assert_eq!(step["parameterSpace"]["taskParameterDefinitions"][0]["range"], "0-4");
        let script = &step["script"];
        assert!(!script["embeddedFiles"][0]["data"].as_str().unwrap().contains("{{"), "nothing is replaced in it");
        let words: Vec<&str> =
            script["actions"]["onRun"]["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(words[..4], ["run", "{{Task.File.Manifest}}", "--video", "{{Task.Param.Video}}"]);
        assert!(!words.contains(&"--files") && !words.contains(&"--count"));
        let some = exported(text, 2);
        assert_eq!(some["steps"][0]["parameterSpace"]["taskParameterDefinitions"][0]["range"], "0-4:2");
        assert!(some["steps"][0]["script"]["actions"]["onRun"]["args"].as_array().unwrap().contains(&"--count".into()));
    }
}
