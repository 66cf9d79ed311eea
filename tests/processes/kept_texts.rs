//! A text that was rendered once: no job after it has it encoded again.

use crate::farm::{Farm, ROLES};
use crate::program::{NIGHT, Sandbox, eventually, files_below};

/// A job of one video, which is called after its seed.
fn manifest(seed: u32) -> String {
    let night = NIGHT.replace("{index:04}", "{seed}").replace("\"night\"", &format!("\"night-{seed}\""));
    format!("{night}\n[[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = {seed}\n")
}

/// What was tried for a video, by stage.
fn stages(sandbox: &Sandbox, seed: u32) -> Vec<String> {
    let sidecar = sandbox.sidecar(&seed.to_string());
    let attempts = sidecar["attempts"].as_array().expect("attempts").iter();
    attempts.map(|attempt| attempt["stage"].as_str().expect("a stage").to_owned()).collect()
}

fn render(farm: &Farm, sandbox: &Sandbox, seed: u32) {
    farm.submit(&sandbox.manifest(&manifest(seed)));
    eventually("the job is over", || farm.ends_within(100).then_some(()));
}

fn as_if_alone(sandbox: &Sandbox, seed: u32) {
    let name = seed.to_string();
    assert_eq!(sandbox.bytes(&[&name]), Sandbox::rendered(&manifest(seed)).bytes(&[&name]));
}

#[test]
fn another_job_with_the_same_texts_needs_no_encoder_even_after_a_restart() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    render(&farm, &sandbox, 1);
    assert!(stages(&sandbox, 1).contains(&"encode_text".to_owned()));
    farm.end_worker("text-encoder");
    farm.terminate_coordinator();
    farm.start_coordinator();
    render(&farm, &sandbox, 2);
    assert!(!stages(&sandbox, 2).contains(&"encode_text".to_owned()), "{:?}", stages(&sandbox, 2));
    farm.stop();
    as_if_alone(&sandbox, 2);
}

#[test]
fn a_kept_text_that_was_damaged_is_encoded_anew() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    render(&farm, &sandbox, 1);
    farm.terminate_coordinator();
    let files = files_below(&sandbox.data().join("artifacts"));
    // Beside the artifacts themselves, each on its shelf, lies whose they are.
    let kept: Vec<&String> = files.iter().filter(|file| file.contains('/')).collect();
    assert_eq!(kept.len(), 2, "the prompt and the negative prompt");
    for file in kept {
        let path = sandbox.data().join("artifacts").join(file);
        let mut bytes = std::fs::read(&path).expect("an artifact");
        bytes.iter_mut().for_each(|byte| *byte ^= 0x40);
        std::fs::write(&path, bytes).expect("an artifact");
    }
    farm.start_coordinator();
    render(&farm, &sandbox, 2);
    assert!(stages(&sandbox, 2).contains(&"encode_text".to_owned()));
    farm.stop();
    as_if_alone(&sandbox, 2);
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::serving(&sandbox, &["--keep-texts", "0"]);
    ROLES.iter().for_each(|role| farm.start_worker(&sandbox, role, role, &[]));
    render(&farm, &sandbox, 1);
    eventually("all artifacts are gone", || (sandbox.artifacts() == 0).then_some(()));
    render(&farm, &sandbox, 2);
    assert!(stages(&sandbox, 2).contains(&"encode_text".to_owned()));
    farm.stop();
}
