//! Manifests with faults: each is told with its place, and all of them at once.

use super::*;

/// The faults of a manifest with these lines from line 4 on.
fn faults(videos: &str) -> Vec<String> {
    told(read_videos(videos))
}

#[test]
fn one_fault_each() {
    let videos: &[(&str, &str)] = &[
        // keys
        ("step = 3", "6:1 video[0].step: unknown key `step`"),
        ("guidance={hi=1,low=2}", "6:11 video[0].guidance.hi: unknown key `hi`"),
        ("guidance={low=2}", "6:10 video[0].guidance: video[0].guidance lacks an expert"),
        // types
        ("steps='3'", "6:7 video[0].steps: video[0].steps is a text"),
        ("steps=3.0", "6:7 video[0].steps: video[0].steps is a number with a fraction"),
        ("shift=2024-01-01", "6:7 video[0].shift: video[0].shift is a date"),
        ("guidance=[1]", "6:10 video[0].guidance: video[0].guidance is a list"),
        ("formats='mp4'", "6:9 video[0].formats: video[0].formats is a text"),
        ("sweep={seed=1}", "6:13 video[0].sweep.seed: video[0].sweep.seed is a whole number"),
        ("sweep=[1]", "6:7 video[0].sweep: video[0].sweep is a list"),
        // ranges
        ("steps=0", "6:7 video[0].steps: video[0].steps is out of range"),
        ("steps=1001", "6:7 video[0].steps: video[0].steps is out of range"),
        ("fps=241", "6:5 video[0].fps: video[0].fps is out of range"),
        ("fps=0.5", "6:5 video[0].fps: video[0].fps is out of range"),
        ("fps=23.97612", "6:5 video[0].fps: video[0].fps is out of range"),
        ("fps=nan", "6:5 video[0].fps: video[0].fps is out of range"),
        ("fps='film'", "6:5 video[0].fps: video[0].fps is no frame rate"),
        ("fps=[24]", "6:5 video[0].fps: video[0].fps is a list"),
        ("seed=-1", "6:6 video[0].seed: video[0].seed is out of range"),
        ("seed=18446744073709551616", "6:6 video[0].seed: video[0].seed is out of range"),
        ("shift=0", "6:7 video[0].shift: video[0].shift is out of range"),
        ("shift=nan", "6:7 video[0].shift: video[0].shift is out of range"),
        ("guidance=inf", "6:10 video[0].guidance: video[0].guidance is out of range"),
        ("guidance={high=1,low=-1}", "6:22 video[0].guidance.low: video[0].guidance.low is out of range"),
        ("sweep={steps=[1,2000]}", "6:17 video[0].sweep.steps: video[0].sweep.steps is out of range"),
        // sizes
        ("frames=16", "6:8 video[0].frames: video[0].frames cannot be rendered"),
        ("width=65", "6:7 video[0].width: video[0].width cannot be rendered"),
        ("width=4096", "6:7 video[0].width: video[0] cannot be written as mp4"),
        (
            "width=2176\nheight=2176\nformats=['png','mp4','gif']",
            "6:7 video[0].width: video[0] cannot be written as mp4",
        ),
        // twins
        ("[[video]]\nprompt='p'", "6:1 video[1]: video[1] makes a video that is there already"),
        (
            "output='a'\n[[video]]\nprompt='p'\noutput='b'\nformats=['gif']",
            "7:1 video[1]: video[1] makes a video that is there already",
        ),
        ("sweep={fps=[24,24.0,25]}", "4:1 video[0]: video[0] makes a video that is there already"),
        // words
        ("solver='unipcc'", "6:8 video[0].solver: video[0].solver knows no `unipcc`"),
        ("formats=['mp3']", "6:10 video[0].formats: video[0].formats knows no `mp3`"),
        ("formats=[]", "6:9 video[0].formats: video[0].formats is empty"),
        ("formats=['gif','gif']", "6:16 video[0].formats: video[0].formats names gif twice"),
        // series
        ("sweep={stepz=[1,2]}", "6:8 video[0].sweep.stepz: `stepz` is used nowhere"),
        ("sweep={seed=[]}", "6:13 video[0].sweep.seed: video[0].sweep.seed is empty"),
        ("seed=1\nsweep={seed=[1]}", "7:8 video[0].sweep.seed: `seed` is both set and in video[0].sweep"),
        ("sweep={seed=[1]}\nzip={seed=[1]}", "7:6 video[0].zip.seed: `seed` has two lists"),
        ("sweep={'a b'=[1]}", "6:8 video[0].sweep.a b: `a b` cannot be a name"),
        // outputs
        ("output='${HOME}/x'", "6:8 video[0].output: video[0].output would be a folder called that"),
        ("output='a'\nsweep={seed=[1,2]}", "6:8 video[0].output: two videos would write to `a.mp4`"),
        (
            "output='A'\nformats=['png']\n[[video]]\nprompt='q'\noutput='a/b'",
            "10:8 video[1].output: two videos would write to `a/b.mp4`",
        ),
        // images
        ("image='x.png'", "6:7 video[0].image: video[0].image cannot be read here"),
    ];
    for (lines, want) in videos {
        assert_eq!(faults(&format!("[[video]]\nprompt='p'\n{lines}")), [*want], "{lines}");
    }
    let manifests: &[(&str, &str)] = &[
        // keys
        ("[default]\n[[video]]\nprompt='p'", "4:2 default: unknown key `default`"),
        ("[defaults]\nsweep={seed=[1]}\n[[video]]\nprompt='p'", "5:1 defaults: sweep in [defaults]"),
        ("steps=3\n[[video]]\nprompt='p'", "4:1 job.steps: unknown key `steps`"),
        // types
        ("[[video]]\nprompt=3", "5:8 video[0].prompt: video[0].prompt is a whole number"),
        ("[video]\nprompt='p'", "4:1 video: video is a table"),
        ("[[video]]\nprompt='{a}'\nsweep={a=[[1]]}", "6:11 video[0].sweep.a: video[0].sweep.a is a list"),
        // ranges
        ("early_look='yes'\n[[video]]\nprompt='p'", "4:12 job.early_look: job.early_look is a text"),
        ("owner=''\n[[video]]\nprompt='p'", "4:7 job.owner: job.owner cannot be said of a job"),
        ("labels='x'\n[[video]]\nprompt='p'", "4:8 job.labels: job.labels is a text"),
        ("labels={'a b'='c'}\n[[video]]\nprompt='p'", "4:8 job.labels: job.labels cannot be said of a job"),
        ("labels={shot=10}\n[[video]]\nprompt='p'", "4:14 job.labels.shot: job.labels.shot is a whole number"),
        ("priority=101\n[[video]]\nprompt='p'", "4:10 job.priority: job.priority is out of range"),
        // sizes
        (
            "[defaults]\nheight=8\n[[video]]\nprompt='p'\n[[video]]\nprompt='q'",
            "5:8 defaults.height: defaults.height cannot be rendered",
        ),
        // texts
        ("[[video]]\nprompt=' '", "5:8 video[0].prompt: video[0].prompt is empty"),
        ("[[video]]\nseed=1", "4:1 video[0]: video[0] has no prompt"),
        ("[[video]]\nprompt='{x}'\nsweep={x=['']}", "5:8 video[0].prompt: video[0].prompt is empty"),
        ("[[video]]\nprompt=\"a\\u0007\"", "5:8 video[0].prompt: video[0].prompt holds a control character"),
        ("[[video]]\nprompt='a {b'", "5:11 video[0].prompt: video[0].prompt has braces that name nothing"),
        ("[[video]]\nprompt='a {red|blue} b'", "5:11 video[0].prompt: video[0].prompt has braces that name nothing"),
        ("[[video]]\nprompt='a {colour}'", "5:11 video[0].prompt: `{colour}` has no value"),
        ("[[video]]\nprompt='a {seed}'", "5:11 video[0].prompt: `{seed}` has no value"),
        ("output='{index}{nope}'\n[[video]]\nprompt='p'", "4:16 job.output: `{nope}` has no value"),
        ("output='{slug:04}'\n[[video]]\nprompt='p'", "4:9 job.output: `{slug}` cannot be padded with zeros"),
        // series
        (
            "[[video]]\nprompt='{a}'\nzip={a=[1,2],seed=[1]}",
            "6:14 video[0].zip.seed: `seed` has 1 values and `a` has 2",
        ),
        ("[[video]]\nprompt='{index}'\nsweep={index=[1]}", "6:8 video[0].sweep.index: `index` cannot be swept"),
        // outputs
        ("output='/x'\n[[video]]\nprompt='p'", "4:8 job.output: `/x` is no safe output name"),
        ("output='~/{index}'\n[[video]]\nprompt='p'", "4:8 job.output: job.output would be a folder called that"),
        ("output='$HOME/{index}'\n[[video]]\nprompt='p'", "4:8 job.output: job.output would be a folder called that"),
        ("[[video]]\nprompt='{a}'\noutput='{a}'\nsweep={a=['~']}", "6:8 video[0].output: `~` is no safe output name"),
        ("output='../{index}'\n[[video]]\nprompt='p'", "4:8 job.output: `../0` is no safe output name"),
        ("[[video]]\nprompt='{a}'\noutput='{a}'\nsweep={a=['..']}", "6:8 video[0].output: `..` is no safe output name"),
        (
            "output='a/{index}/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q'\n[[video]]\nprompt='p'",
            "4:8 job.output: `a/0/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q` is no safe output name",
        ),
        (
            "output='{slug}'\n[[video]]\nprompt='p'\n[[video]]\nprompt='P'",
            "7:1 video[1]: two videos would write to `p.mp4`",
        ),
    ];
    for (text, want) in manifests {
        assert_eq!(faults(text), [*want], "{text}");
    }
    let none = faults("video=[]");
    assert!(none.iter().any(|line| line == "4:1 job.video: unknown key `video`"), "{none:#?}");
}

#[test]
fn a_manifest_needs_a_job_a_model_and_a_video() {
    assert_eq!(told(read("")), ["1:1 : the manifest has no job", "1:1 : the manifest has no video"]);
    assert_eq!(told(read("[job]\n[[video]]\nprompt='p'")), ["1:1 job: the job names no model"]);
    let bad = "[job]\nname='a/b'\nmodel='..'\n[[video]]\nprompt='p'";
    assert_eq!(
        told(read(bad)),
        ["2:6 job.name: job.name cannot be a folder's name", "3:7 job.model: job.model cannot be a folder's name"]
    );
    let yaml = |text| told(Manifest::parse("m.yaml", Syntax::Yaml, text, None));
    assert_eq!(yaml("job: {model: m}\nvideo: []"), ["1:1 : the manifest has no video"]);
    assert_eq!(yaml("- 1"), ["1:1 : the manifest is a list"]);
    assert_eq!(yaml("job: {model: m}\nvideo:\n- prompt: ~"), ["3:11 video[0].prompt: video[0].prompt is null"]);
}

#[test]
fn all_faults_at_once_in_the_order_of_the_lines() {
    let text = "[job]\nname = 'j'\nmodl = 'm'\nformats = ['mp5']\n[defaults]\nsteps = 0\nprompt = ''\n\
        [[video]]\nframes = 18\nwidht = 3\n[[video]]\nprompt = 'p {x}'\nwidth = 60\n[[video]]\nprompt='q'\nwidth=60";
    assert_eq!(
        told(read(text)),
        [
            "1:1 job: the job names no model",
            "3:1 job.modl: unknown key `modl`",
            "4:12 job.formats: job.formats knows no `mp5`",
            "6:9 defaults.steps: defaults.steps is out of range",
            "7:10 defaults.prompt: defaults.prompt is empty",
            "9:10 video[0].frames: video[0].frames cannot be rendered",
            "10:1 video[0].widht: unknown key `widht`",
            "12:13 video[1].prompt: `{x}` has no value",
            "13:9 video[1].width: video[1].width cannot be rendered",
            "16:7 video[2].width: video[2].width cannot be rendered",
        ]
    );
}

#[test]
fn a_model_has_its_own_grid() {
    let wide = Geometry { latent_channels: 48, stride_t: 4, stride_hw: 16, patch: 2 };
    let info = ModelInfo { geometry: wide, ..info() };
    let text =
        "[job]\nname='j'\nmodel='m'\n[defaults]\nwidth=80\nheight=64\n[[video]]\nprompt='p'\n[[video]]\nprompt='q'";
    let faults = read(text).unwrap().check(Some(&info)).unwrap_err();
    assert_eq!(lines(&faults), ["5:7 defaults.width: defaults.width cannot be rendered"]);
    let needs = ModelInfo { needs_image: true, takes_image: true, ..info };
    let text = text.replace("80", "64");
    let faults = read(&text).unwrap().check(Some(&needs)).unwrap_err();
    assert_eq!(lines(&faults), ["7:1 video[0]: video[0] has no image", "9:1 video[1]: video[1] has no image"]);
}

#[test]
fn missing_images_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.png"), "no image").unwrap();
    let text = "[job]\nname='j'\nmodel='m'\n[[video]]\nprompt='p'\nsweep={image=['a.png','text.png','.']}";
    let faults = Manifest::parse("m.toml", Syntax::Toml, text, Some(folder.path())).unwrap_err();
    let told = lines(&faults);
    assert_eq!(told.len(), 3, "{faults}");
    for (line, column) in told.iter().zip([15, 23, 34]) {
        assert!(line.starts_with(&format!("6:{column} video[0].sweep.image: cannot use the image ")), "{line}");
    }
}

#[test]
fn several_images_with_faults() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), "no image").unwrap();
    for (video, want) in [
        ("image='none/*.png'", "6:7 video[0].image: cannot use the images `none/*.png`"),
        ("image=['none/*.png']", "6:8 video[0].image: cannot use the images `none/*.png`"),
        ("image='*.p[ng'", "6:7 video[0].image: cannot use the images `*.p[ng`"),
        ("image='{n}/*.png'\nsweep={n=[1]}", "6:7 video[0].image: cannot use the images `{n}/*.png`"),
        ("image=[]", "6:7 video[0].image: video[0].image is empty"),
        ("image=[3]", "6:8 video[0].image: video[0].image is a whole number"),
        ("image=['a.png']\nsweep={image=['a.png']}", "7:8 video[0].sweep.image: `image` has two lists"),
        (
            "image='a.png'\nsweep={image=['a.png']}",
            "7:8 video[0].sweep.image: `image` is both set and in video[0].sweep",
        ),
        ("image='{image}.png'", "6:8 video[0].image: `{image}` has no value"),
        ("sweep={image='*.png'}", "6:14 video[0].sweep.image: video[0].sweep.image is a text"),
        ("negative='{image}'", "6:11 video[0].negative: `{image}` has no value"),
    ] {
        let text = format!("[job]\nname='j'\nmodel='m'\n[[video]]\nprompt='p'\n{video}");
        let faults = Manifest::parse("m.toml", Syntax::Toml, &text, Some(folder.path())).unwrap_err();
        assert_eq!(lines(&faults), [want], "{video}");
    }
    let broken = "[job]\nname='j'\nmodel='m'\n[[video]]\nprompt='p'\nimage='*.png'";
    let faults = Manifest::parse("m.toml", Syntax::Toml, broken, Some(folder.path())).unwrap_err();
    let [fault] = &lines(&faults)[..] else { panic!("{faults}") };
    assert!(fault.starts_with("6:7 video[0].image: cannot use the image ") && fault.contains("a.png"), "{fault}");
    let defaults = "[job]\nname='j'\nmodel='m'\n[defaults]\nimage='*.png'\n[[video]]\nprompt='p'";
    assert_eq!(told(read(defaults)), ["5:1 defaults: image in [defaults]"]);
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let huge = folder.path().join("huge.toml");
    std::fs::File::create(&huge).unwrap().set_len(17 << 20).unwrap();
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"a = '\xe9'").unwrap();
    for (path, why) in [
        (folder.path().join("none.toml"), "cannot read it"),
        (folder.path().join("m.cfg"), "neither TOML nor YAML nor JSON"),
        (folder.path().join("m.txt"), "a list of prompts is no manifest"),
        (folder.path().join("m.CSV"), "a list of prompts is no manifest"),
        (folder.path().join("m.jsonc"), "comments"),
        (huge, "larger than 16 MiB"),
        (latin, "byte 5 is not UTF-8"),
    ] {
        let faults = Manifest::read(&path).unwrap_err();
        assert!(faults.iter().next().unwrap().why.contains(why), "{faults}");
    }
    let odd = folder.path().join("dir.toml");
    std::fs::create_dir(&odd).unwrap();
    assert!(Manifest::read(&odd).is_err());
}

#[test]
fn told_to_programs() {
    let faults =
        read("[job]\nname='j'\nmodel='m'\n[[video]]\nprompt='p'\noutput='x'\n[[video]]\nprompt='q'\noutput='x'")
            .unwrap_err();
    let json = faults.to_json();
    assert_eq!(json["file"], "m.toml");
    assert_eq!(json["count"], 1);
    let fault = &json["faults"][0];
    assert_eq!((fault["line"].as_u64(), fault["column"].as_u64()), (Some(9), Some(8)));
    assert_eq!(fault["key"], "video[1].output");
    assert_eq!(fault["related"]["line"], 6);
    for part in ["what", "why", "help"] {
        assert!(!fault[part].as_str().unwrap().is_empty());
    }
}
