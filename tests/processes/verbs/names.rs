//! Files belong to the job that wrote them: nothing that another job or a person has put there is touched unasked.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::program::{Ended, Sandbox, demo, eventually, files_below, says};
use crate::verbs::farm::{Farm, ROLES, manifest};

/// Files below a folder, each with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), std::fs::read(folder.join(name)).expect("file"));
    files_below(folder).into_iter().map(read).collect()
}

/// What the files of a job held when they were there first, whatever came beside them.
#[track_caller]
fn assert_untouched(before: &BTreeMap<String, Vec<u8>>, folder: &Path) {
    for (name, bytes) in before {
        assert!(std::fs::read(folder.join(name)).is_ok_and(|now| now == *bytes), "{name} is not what it was");
    }
}

/// Submits a manifest with options.
fn submit(farm: &Farm, text: &str, options: &[&str]) -> Ended {
    let path = farm.sandbox.manifest(text);
    farm.client(&[&["submit", path.to_str().expect("path")], options].concat())
}

#[track_caller]
fn refused(ended: Ended, words: &[&str]) {
    let ended = ended.expect(2);
    says(&ended.stderr, words);
}

/// Submits and waits for the end.
fn render(farm: &Farm, text: &str, options: &[&str]) -> String {
    let job = submit(farm, text, options).expect(0).stdout.trim().to_owned();
    farm.client(&["status", &job, "--watch"]).expect(0);
    job
}

fn lost(told: &Value) -> Vec<(&str, &str, Option<u64>)> {
    let lines = told["lost"].as_array().expect("a list").iter();
    lines
        .map(|file| {
            let (path, state) = (file["path"].as_str().expect("a path"), file["state"].as_str().expect("a state"));
            (path, state, file["replaced_by"].as_u64())
        })
        .collect()
}

#[test]
fn a_second_job_of_the_same_name_is_refused_and_three_options_say_what_to_do() {
    let farm = Farm::start();
    let _worker = farm.worker("studio", ROLES);
    let (output, fetched) = (farm.sandbox.output(), farm.sandbox.path("fetched"));
    let first = manifest("night", 2);
    let second = first.replace("red circle", "blue square");
    assert_eq!(render(&farm, &first, &[]), "1");
    let before = contents(&output);

    let words = ["2 of 2 videos", "night/0000.mp4 is of job 1 night", "video 1/0", "--new-name", "--overwrite"];
    refused(submit(&farm, &second, &[]), &words);
    let dry = submit(&farm, &second, &["--dry-run"]).expect(2);
    assert!(dry.stdout.contains("night/0000.mp4 is of job 1 night"), "{}", dry.stdout);
    // The same command again is fine, and has nothing to do.
    let all = submit(&farm, &first, &["--skip-existing"]).expect(0);
    assert!(all.stderr.contains("2 videos stand there whole") && all.stdout.is_empty(), "{}{}", all.stdout, all.stderr);
    // What stands there is another video.
    refused(submit(&farm, &second, &["--skip-existing"]), &["night/0000.mp4"]);
    assert_eq!(contents(&output), before);

    assert_eq!(render(&farm, &second, &["--new-name"]), "2");
    assert_untouched(&before, &output);
    assert!(farm.sandbox.sidecar("night/0001-2")["spec"]["prompt"].as_str().unwrap().contains("blue square"));
    let report = |job: &str| farm.json(&["report", job])["job"]["report"].clone();
    assert_eq!(report("1"), output.join("night.report.json").to_str().unwrap());
    assert_eq!(report("2"), output.join("night-2.report.json").to_str().unwrap());
    for job in ["1", "2"] {
        let told: Value = serde_json::from_slice(&std::fs::read(report(job).as_str().unwrap()).unwrap()).unwrap();
        assert_eq!(told["job"]["job"].to_string(), job);
    }

    // One more video: only that is rendered, and the others stay.
    let longer = manifest("night", 3);
    let told = farm.json(&["submit", farm.sandbox.manifest(&longer).to_str().unwrap(), "--skip-existing"]);
    assert_eq!((&told["left_out"], &told["videos"]), (&2.into(), &1.into()), "{told}");
    farm.client(&["status", "3", "--watch"]).expect(0);
    assert_untouched(&before, &output);
    assert!(output.join("night/0002.mp4").exists());

    assert_eq!(render(&farm, &second, &["--overwrite"]), "4");
    assert!(farm.sandbox.sidecar("night/0001")["spec"]["prompt"].as_str().unwrap().contains("blue square"));
    let told = farm.json(&["report", "1"]);
    assert!(lost(&told).iter().all(|(_, state, by)| (*state, *by) == ("replaced", Some(4))), "{told}");
    let ended = farm.client(&["download", "1", fetched.to_str().unwrap()]).expect(1);
    assert!(ended.stderr.contains("night/0000.mp4: replaced by job 4"), "{}", ended.stderr);
    farm.client(&["download", "4", fetched.to_str().unwrap()]).expect(0);
}

#[test]
fn one_manifest_submitted_twice_at_once_is_one_set_of_files() {
    let farm = Farm::start();
    let text = manifest("night", 3);
    submit(&farm, &text, &[]).expect(0);
    refused(submit(&farm, &text, &[]), &["3 of 3 videos", "job 1"]);
    refused(submit(&farm, &text, &["--overwrite"]), &["not finished", "cancel"]);
    refused(submit(&farm, &text, &["--skip-existing"]), &["not finished"]);
    refused(submit(&farm, &manifest("NIGHT", 1), &[]), &["job 1 night"]);
    assert_eq!(submit(&farm, &text, &["--new-name"]).expect(0).stdout, "2\n");
    assert_eq!(submit(&farm, &text, &["--new-name"]).expect(0).stdout, "3\n");
    let _workers = [farm.worker("studio", ROLES), farm.worker("attic", ROLES)];
    for job in ["1", "2", "3"] {
        farm.client(&["status", job, "--watch"]).expect(0);
        let fetched = farm.sandbox.path(job);
        let told = farm.json(&["download", job, fetched.to_str().unwrap()]);
        assert_eq!((lost(&told).len(), told["fetched"].as_array().unwrap().len()), (0, 3 * 7), "{told}");
    }
    let hidden = files_below(&farm.sandbox.output()).into_iter().filter(|file| file.contains(".wanfarm"));
    assert_eq!(hidden.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_persons_files_are_refused_at_submission_and_never_removed_with_what_is_in_their_folders() {
    let farm = Farm::start();
    let _worker = farm.worker("studio", ROLES);
    let output = farm.sandbox.output();
    let all = r#"["mp4", "png", "gif", "contact"]"#;
    let text = manifest("n", 1).replace(r#"["mp4", "png"]"#, all).replace("{job}/{index:04}", "shots");
    for name in ["shots.mp4", "shots.gif", "shots.contact.png", "shots.json", "shots/first.png"] {
        let file = output.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "mine").unwrap();
        refused(submit(&farm, &text, &[]), &["1 of 1 videos", name.split('/').next().unwrap()]);
        std::fs::remove_file(&file).unwrap();
    }
    std::fs::write(output.join("shots/00000.png"), "another frame").unwrap();
    std::fs::write(output.join("shots/notes.txt"), "mine").unwrap();
    std::fs::write(output.join("shots.mp4"), "mine").unwrap();
    let before = contents(&output);
    refused(submit(&farm, &text, &["--overwrite"]), &["shots is a folder with more in it than frames"]);
    assert_eq!(contents(&output), before);
    std::fs::remove_file(output.join("shots/notes.txt")).unwrap();
    render(&farm, &text, &["--overwrite"]);
    assert_eq!(std::fs::read_dir(output.join("shots")).unwrap().count(), 5, "frames alone are replaced as a whole");
    assert!(std::fs::read(output.join("shots.mp4")).unwrap() != b"mine");

    // Three finished videos of another job, where the frames of a later one would go.
    render(&farm, &manifest("three", 3).replace(r#"["mp4", "png"]"#, r#"["mp4"]"#), &[]);
    let before = contents(&output.join("three"));
    let around = manifest("later", 1).replace(r#""mp4", "#, "").replace("{job}/{index:04}", "three");
    for options in [&[][..], &["--overwrite"], &["--skip-existing"]] {
        refused(submit(&farm, &around, options), &["three lies around or inside what is of job"]);
    }
    render(&farm, &around, &["--new-name"]);
    assert_eq!(contents(&output.join("three")), before);
    assert_eq!(std::fs::read_dir(output.join("three-2")).unwrap().count(), 5);
}

#[test]
fn a_file_that_appears_after_the_submission_fails_the_video_until_it_is_moved_and_nothing_is_rendered_again() {
    let farm = Farm::start();
    let (output, away) = (farm.sandbox.output(), farm.sandbox.path("away"));
    let job = farm.submit(&manifest("night", 2));
    std::fs::create_dir_all(output.join("night/0000")).unwrap();
    std::fs::write(output.join("night/0000/first.png"), "mine").unwrap();
    std::fs::write(output.join("night/0001.json"), "mine").unwrap();
    let before = contents(&output);
    let _worker = farm.worker("studio", ROLES);
    farm.client(&["status", &job, "--watch"]).expect(0);
    let videos = farm.json(&["status", &job])["videos"].clone();
    for (video, path) in [(0, "night/0000"), (1, "night/0001.json")] {
        let error = videos[video]["error"].as_str().expect("an error");
        assert!(error.contains(&format!("{} is in the way", output.join(path).display())), "{error}");
        assert!(error.contains("move it away and retry"), "{error}");
    }
    let now = contents(&output);
    assert_eq!(
        now.keys().filter(|name| !name.starts_with("night.report.")).collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
    assert_untouched(&before, &output);

    std::fs::rename(output.join("night"), &away).unwrap();
    farm.client(&["retry", &job]).expect(0);
    farm.client(&["status", &job, "--watch"]).expect(0);
    let report = farm.json(&["report", &job]);
    let steps = |stage: &str| {
        let stages = report["stages"].as_array().unwrap();
        stages.iter().find(|line| line["name"] == stage).map_or(0, |line| line["steps"].as_u64().unwrap())
    };
    assert_eq!(steps("denoise_high") + steps("denoise_low"), 2 * 4, "two videos of four steps, each once");
    assert_eq!(contents(&away).len(), 2);
}

#[test]
fn a_report_in_whose_place_something_appears_is_told() {
    let mut farm = Farm::start();
    let job = farm.submit(&manifest("night", 1));
    let place = farm.sandbox.output().join("night.report.json");
    std::fs::create_dir_all(&place).unwrap();
    let _worker = farm.worker("studio", ROLES);
    let ended = farm.client(&["status", &job, "--watch"]).expect(0);
    says(&ended.stdout, &["1 of 1 video done", "without a report"]);
    let words = format!("without a report: {} is in the way: a folder", place.display());
    assert!(ended.stdout.contains(&words), "{}", ended.stdout);
    std::fs::remove_dir(&place).unwrap();
    farm.kill_coordinator();
    farm.start_coordinator();
    eventually("the report is written", || place.is_file().then_some(()));
}

#[test]
fn what_became_of_each_file_is_told_and_the_others_are_fetched() {
    let farm = Farm::start();
    let _worker = farm.worker("studio", ROLES);
    let (output, target) = (farm.sandbox.output(), farm.sandbox.path("fetched"));
    render(&farm, &manifest("night", 2), &[]);
    std::fs::remove_file(output.join("night/0000.mp4")).unwrap();
    let frame = output.join("night/0001/00003.png");
    let mut bytes = std::fs::read(&frame).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&frame, bytes).unwrap();
    let told = farm.client(&["download", "night", target.to_str().unwrap(), "--json"]).expect(1).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(lost(&told), [("night/0000.mp4", "missing", None), ("night/0001/00003.png", "damaged", None)]);
    assert_eq!(told["fetched"].as_array().unwrap().len(), 2 * 7 - 2);
    assert!(!target.join("night/0001/00003.png").exists(), "what is damaged is not delivered");
    let said = farm.client(&["report", "night"]).expect(0).stdout;
    assert!(said.contains("night/0000.mp4: missing"), "{said}");
}

#[test]
fn older_jobs_keep_their_folder_when_the_coordinator_is_started_elsewhere() {
    let mut farm = Farm::start();
    let _worker = farm.worker("studio", ROLES);
    let (first, target) = (farm.sandbox.output(), farm.sandbox.path("fetched"));
    render(&farm, &manifest("night", 1), &[]);
    farm.kill_coordinator();
    let elsewhere = farm.sandbox.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    farm.start_coordinator_in(&elsewhere, "renders");
    farm.client(&["download", "night", target.to_str().unwrap()]).expect(0);
    assert_eq!(farm.json(&["report", "1"])["output_dir"], first.to_str().unwrap());
    // In another folder the name is free.
    render(&farm, &manifest("night", 1), &[]);
    assert!(elsewhere.join("renders/night/0000.mp4").exists() && elsewhere.join("renders/night.report.json").exists());
    assert_eq!(farm.json(&["report", "2"])["output_dir"], elsewhere.join("renders").to_str().unwrap());
    std::fs::rename(&first, farm.sandbox.path("moved")).unwrap();
    farm.client(&["report", "1"]).expect(0);
    let told = farm.client(&["download", "1", target.to_str().unwrap(), "--json"]).expect(1).stdout;
    assert_eq!(lost(&serde_json::from_str(&told).unwrap()).len(), 7);
}

#[test]
fn a_run_never_takes_the_pictures_beside_its_manifest_for_its_own() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.output().join("shots")).unwrap();
    std::fs::write(sandbox.output().join("shots/first.png"), "mine").unwrap();
    std::fs::write(sandbox.output().join("report.json"), "{\"mine\": true}").unwrap();
    let text = manifest("shots", 1).replace("{job}/{index:04}", "{job}").replace(r#""mp4", "#, "");
    let ended = sandbox.run(&sandbox.manifest(&text), &demo()).wait();
    refused(ended, &["shots is a folder", "--new-name"]);
    std::fs::rename(sandbox.output().join("shots"), sandbox.path("shots")).unwrap();
    sandbox.run(&sandbox.manifest(&text), &demo()).wait().expect(0);
    assert_eq!(std::fs::read_to_string(sandbox.output().join("report.json")).unwrap(), "{\"mine\": true}");
    assert!(sandbox.output().join("shots.report.json").exists());
}
