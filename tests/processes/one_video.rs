//! `run --video`: some videos of a manifest, as they would be among all of it.

use std::process::Command;

use crate::program::{NIGHT, Sandbox, binary, demo, says};

#[test]
fn a_video_alone_is_the_one_among_all_of_them() {
    let video =
        |seed| format!("\n[[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = {seed}\n");
    let text: String = std::iter::once(NIGHT.to_owned()).chain((1..=3).map(video)).collect();
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(&text);
    let run = |options: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("run").args(options);
        sandbox.run_by(command, &manifest, &demo()).wait()
    };
    run(&["--video", "1", "--count", "5"]).expect(0);
    let sidecars = || sandbox.files().into_iter().filter(|file| file.ends_with(".json") && file != "report.json");
    assert_eq!(sidecars().count(), 2, "the second and the third: {:?}", sandbox.files());
    let ended = run(&["--video", "3"]).expect(2);
    says(&ended.stderr, &["--video 3: the manifest has 3 videos, numbered from 0"]);
    // Whatever else has rendered it: what stands there whole stays.
    run(&["--video", "0", "--count", "2", "--skip-existing"]).expect(0);
    let stems: Vec<String> = sidecars().map(|file| file.trim_end_matches(".json").to_owned()).collect();
    let stems: Vec<&str> = stems.iter().map(String::as_str).collect();
    assert_eq!(stems.len(), 3);
    assert_eq!(sandbox.bytes(&stems), Sandbox::rendered(&text).bytes(&stems));
}

#[test]
fn its_files_may_lie_elsewhere() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(&format!("{NIGHT}\n[[video]]\nprompt = \"a fox\"\nimage = \"shapes.png\"\n"));
    let run = |options: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("run").args(options);
        sandbox.run_by(command, &manifest, &demo()).wait().expect(2)
    };
    says(run(&[]).stderr, &["cannot use the image"]);
    let folder = demo();
    let pictures = folder.to_str().expect("UTF-8");
    says(run(&["--files", pictures]).stderr, &["takes no first frame"]);
}
