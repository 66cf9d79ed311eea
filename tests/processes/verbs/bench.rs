//! `bench`, for a second.

use std::process::Command;

use serde_json::Value;

use crate::program::{Running, binary, demo};

#[test]
fn in_a_second_it_measures_what_it_can_and_says_what_it_leaves_out() {
    let model = demo().join("wan-tiny-t2v");
    let mut command = Command::new(binary());
    command.args(["bench", "--device", "cpu", "--seconds", "1", "--json", "--model"]).arg(model);
    let ended = Running::start(&mut command).wait().expect(0);
    let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&told["device"], &told["dtype"], &told["seconds"]), (&"cpu".into(), &"f32".into(), &1.into()));
    assert!(told["name"].as_str().is_some_and(|name| name.starts_with("cpu")), "{told}");
    assert!(told["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{told}");
    let names = |list: &str| -> Vec<String> {
        let lines = told[list].as_array().expect("a list").iter();
        lines.map(|line| line["name"].as_str().expect("a name").to_owned()).collect()
    };
    let (measured, skipped) = (names("measured"), names("skipped"));
    assert!(measured.iter().any(|name| name == "model files, as found"), "{measured:?}");
    assert!(measured.iter().any(|name| name == "f32 256x256x256"), "{measured:?}");
    assert!(skipped.iter().any(|name| name == "a block of t2v-a14b"), "{skipped:?}");

    let mut command = Command::new(binary());
    let ended = Running::start(command.args(["bench", "--seconds", "0"])).wait().expect(2);
    assert!(ended.stderr.contains("1..=3600"), "{}", ended.stderr);
}
