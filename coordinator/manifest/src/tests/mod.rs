//! What manifests mean, and what is refused: tables of texts and outcomes.

mod chains;
mod clips;
mod diagnostics;
mod faster;
mod faults;
mod given;
mod hostile;
mod meaning;
mod schema;

use std::path::Path;

use wanfarm_types::{Defaults, Experts, FrameRate, Geometry, ModelInfo, SolverKind, VideoRequest};

use super::{Faults, Manifest, Syntax};

/// The manifest of the documentation.
const EXAMPLE: &str = r#"
[job]
name = "shapes"
model = "wan-tiny-t2v"          # a name that workers serve
priority = 50
output = "{job}/{index:04}-{slug}-{seed}"   # {job} {index} (from 0) {slug} {seed} {width} {height} and sweep names
formats = ["mp4", "png"]        # also: gif, contact

[defaults]                      # everything here can stand in a video too; what is absent comes from the model's preset
width = 64
height = 64
frames = 17
fps = 8
steps = 20
shift = 5.0
solver = "unipc"
guidance = { high = 4.0, low = 3.0 }        # or one number
negative = ""
seed = 0

[[video]]
prompt = "a red circle moving right on a black background"
seed = 7

[[video]]
prompt = "a {colour} square moving {direction} on a white background"
sweep = { colour = ["red", "blue"], direction = ["up", "left"], seed = [1, 2] }   # every combination = 8 videos
"#;

fn info() -> ModelInfo {
    let info = wanfarm_types::fixtures::info(Experts::Dual { boundary: 0.875 });
    ModelInfo { defaults: Defaults { width: 832, height: 480, ..info.defaults }, ..info }
}

fn read(text: &str) -> Result<Manifest, Faults> {
    Manifest::parse("m.toml", Syntax::Toml, text, None)
}

/// A manifest with these lines from line 4 on.
fn read_videos(videos: &str) -> Result<Manifest, Faults> {
    read(&format!("[job]\nname = 'j'\nmodel = 'm'\n{videos}"))
}

/// A manifest with this video, whose lines begin in line 7, and with the files of this folder.
fn read_in(folder: &Path, video: &str) -> Result<Manifest, Faults> {
    let text = format!("[job]\nname='j'\nmodel='m'\noutput='{{index}}'\n[[video]]\nprompt='p'\n{video}");
    Manifest::parse("m.toml", Syntax::Toml, &text, Some(folder))
}

/// A manifest with these video tables, as the coordinator gets it.
fn requests(videos: &str) -> Vec<VideoRequest> {
    read_videos(videos).unwrap().check(Some(&info())).unwrap()
}

/// The same, for another model.
fn requests_of(videos: &str, info: &ModelInfo) -> Vec<VideoRequest> {
    read_videos(videos).unwrap().check(Some(info)).unwrap()
}

/// `line:column key: what` of every fault.
fn told(result: Result<Manifest, Faults>) -> Vec<String> {
    lines(&result.expect_err("this manifest has faults"))
}

fn lines(faults: &Faults) -> Vec<String> {
    let line = |fault: &super::Fault| match fault.at {
        Some(at) => format!("{}:{} {}: {}", at.line, at.column, fault.key, fault.what),
        None => format!("- {}: {}", fault.key, fault.what),
    };
    faults.iter().map(line).collect()
}
