//! Manifests without fault: what they ask for.

use wanfarm_types::{Digest, Format, Guidance, SolverKind, VaeKind};

use super::*;

#[test]
fn a_job_says_whose_it_is_and_by_what_it_is_found() {
    let said =
        "owner = 'ann'\nnote = 'for the morning'\nlabels = { shot = '010', take = '2' }\n[[video]]\nprompt = 'p'";
    let about = read(&format!("[job]\nmodel = 'm'\nname = 'n'\n{said}")).unwrap().about;
    assert_eq!((about.owner.as_deref(), about.note.as_deref()), (Some("ann"), Some("for the morning")));
    assert_eq!(
        about.labels.into_iter().map(|(name, value)| name + "=" + &value).collect::<Vec<_>>(),
        ["shot=010", "take=2"]
    );
}

#[test]
fn the_documented_example() {
    let manifest = read(EXAMPLE).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.model.as_str(), manifest.priority), ("shapes", "wan-tiny-t2v", 50));
    assert!(!manifest.early_look, "in order, unless something else is asked for");
    assert_eq!(manifest.videos(), 9);
    assert_eq!((manifest.line_of(0), manifest.line_of(8), manifest.line_of(9)), (Some(21), Some(25), None));
    let videos = manifest.check(Some(&info())).unwrap();
    let outputs: Vec<&str> = videos.iter().map(|video| video.output.as_str()).collect();
    assert_eq!(
        outputs,
        [
            "shapes/0000-a-red-circle-moving-right-on-a-black-background-7",
            "shapes/0001-a-red-square-moving-up-on-a-white-background-1",
            "shapes/0002-a-red-square-moving-up-on-a-white-background-2",
            "shapes/0003-a-red-square-moving-left-on-a-white-background-1",
            "shapes/0004-a-red-square-moving-left-on-a-white-background-2",
            "shapes/0005-a-blue-square-moving-up-on-a-white-background-1",
            "shapes/0006-a-blue-square-moving-up-on-a-white-background-2",
            "shapes/0007-a-blue-square-moving-left-on-a-white-background-1",
            "shapes/0008-a-blue-square-moving-left-on-a-white-background-2",
        ]
    );
    let last = VideoRequest {
        prompt: "a blue square moving left on a white background".into(),
        negative: Some(String::new()),
        seed: 2,
        width: Some(64),
        height: Some(64),
        frames: Some(17),
        fps: Some(FrameRate::whole(8)),
        steps: Some(20),
        shift: Some(5.0),
        solver: Some(SolverKind::UniPc),
        guidance: Some(Guidance { high: 4.0, low: 3.0 }),
        nag: None,
        decode: wanfarm_types::Decode::Full,
        name: None,
        image: None,
        overlap: None,
        last_image: None,
        video: None,
        strength: None,
        join: None,
        cache: None,
        loras: Vec::new(),
        formats: vec![Format::Mp4, Format::Png],
        output: outputs[8].into(),
        swept: [("colour", "blue"), ("direction", "left"), ("seed", "2")].into_iter().collect(),
    };
    assert_eq!(videos[8], last);
    assert_eq!(manifest.check(None).unwrap(), videos, "the model adds nothing to what is all said");
}

#[test]
fn what_was_swept_is_kept_in_the_order_of_the_text() {
    let manifest = "[job]\nmodel = 'm'\nname = 'n'\noutput = '{index}'\n[[video]]\nprompt = 'alone'\n[[video]]\n\
                    prompt = 'a {animal}, {pace}'\nzip = { pace = ['slow', 'fast'], steps = [2, 4] }\nsweep = { animal = ['fox'] }";
    let videos = read(manifest).unwrap().check(None).unwrap();
    let swept: Vec<Vec<(&str, &str)>> = videos.iter().map(|video| video.swept.iter().collect()).collect();
    let of = |pace, steps| vec![("pace", pace), ("steps", steps), ("animal", "fox")];
    assert_eq!(swept, [vec![], of("slow", "2"), of("fast", "4")]);
}

#[test]
fn the_same_shape_in_three_syntaxes() {
    let yaml = r#"
job: {name: j, model: m, output: "{index}"}
defaults: &all
  steps: 0x14
  guidance: 5
  negative: ""
video:
  - prompt: &text a "red" ball
    seed: 18446744073709551615
    shift: 1e1
  - prompt: *text
    zip: {seed: [1, 2], width: [64, 80]}
    formats: [gif, contact]
"#;
    let json = r#"{
        "job": {"name": "j", "model": "m", "output": "{index}"},
        "defaults": {"steps": 20, "guidance": 5.0, "negative": ""},
        "video": [
            {"prompt": "a \"red\" b\u0061ll", "seed": 18446744073709551615, "shift": 10},
            {"prompt": "a \"red\" ball", "zip": {"seed": [1, 2], "width": [64, 80]}, "formats": ["gif", "contact"]}
        ]
    }"#;
    let toml = r#"
        job = { name = "j", model = "m", output = "{index}" }
        defaults.steps = 20
        defaults.guidance = { high = 5, low = 5.0 }
        defaults.negative = ''
        [[video]]
        prompt = 'a "red" ball'
        seed = 18446744073709551615
        shift = 10
        [[video]]
        prompt = 'a "red" ball'
        formats = ["gif", "contact"]
        [video.zip]
        seed = [1, 2]
        width = [64, 80]
    "#;
    let [toml, yaml, json] =
        [(Syntax::Toml, toml), (Syntax::Yaml, yaml), (Syntax::Json, json)].map(|(syntax, text)| {
            let manifest = Manifest::parse("m", syntax, text, None).unwrap_or_else(|faults| panic!("{faults}"));
            manifest.check(Some(&info())).unwrap()
        });
    assert_eq!(toml, yaml);
    assert_eq!(toml, json);
    assert_eq!(toml[0].seed, u64::MAX);
    assert_eq!((toml[2].seed, toml[2].width, &toml[2].formats[..]), (2, Some(80), &[Format::Gif, Format::Contact][..]));
}

#[test]
fn merge_keys_bring_in_what_is_not_said() {
    let yaml = r#"
job: {model: m, output: "{index}"}
video:
  - &first
    prompt: a ball
    steps: 8
    seed: 1
    sweep: &wide {width: [64]}
  - <<: *first
    seed: 2
  - {seed: 3, <<: [{steps: 4}, *first], sweep: {<<: *wide, height: [80, 96]}}
"#;
    let toml = r#"
        job = { model = "m", output = "{index}" }
        video = [
            { prompt = "a ball", steps = 8, seed = 1, sweep = { width = [64] } },
            { prompt = "a ball", steps = 8, seed = 2, sweep = { width = [64] } },
            { prompt = "a ball", steps = 4, seed = 3, sweep = { width = [64], height = [80, 96] } },
        ]
    "#;
    let videos = |syntax, text| {
        let manifest = Manifest::parse("m", syntax, text, None).unwrap_or_else(|faults| panic!("{faults}"));
        manifest.check(None).unwrap()
    };
    assert_eq!(videos(Syntax::Yaml, yaml), videos(Syntax::Toml, toml));
    for (text, want) in [
        ("job: {model: m}\nvideo:\n- prompt: p\n  <<: [1]", "4:8 : this is not YAML"),
        ("job: {model: m}\nvideo:\n- prompt: p\n  <<: a\n  <<: b", "5:3 : this is not YAML"),
        ("job: {model: m}\nvideo:\n- prompt: p\n  '<<': {seed: 1}", "4:3 video[0].<<: unknown key `<<`"),
    ] {
        assert_eq!(told(Manifest::parse("m.yaml", Syntax::Yaml, text, None)), [want], "{text}");
    }
}

#[test]
fn a_text_without_a_name_tells_its_syntax() {
    for (text, syntax) in [
        ("[job]\nmodel = 'm'", Syntax::Toml),
        ("\u{feff}# night: first\n\njob.model = 'a: b'", Syntax::Toml),
        ("job = {model = 'm'}", Syntax::Toml),
        ("job:\n  model: m", Syntax::Yaml),
        ("# a = b\n---\njob: {name: 'x = y', model: m}", Syntax::Yaml),
        ("%YAML 1.2\n---\n", Syntax::Yaml),
        ("\n {\"job\": {}}", Syntax::Json),
        ("", Syntax::Toml),
    ] {
        assert_eq!(Syntax::guess(text), syntax, "{text}");
    }
}

#[test]
fn frame_rates_of_film_are_exact() {
    let rates = |syntax, text: &str| -> Vec<String> {
        let manifest = Manifest::parse("m", syntax, text, None).unwrap_or_else(|faults| panic!("{faults}"));
        manifest.check(None).unwrap().iter().map(|video| video.fps.unwrap().to_string()).collect()
    };
    let want = ["24", "24", "24000/1001", "30000/1001", "24000/1001", "25/2"];
    let list = "[24, 24.0, 23.976, 29.97, '24000/1001', 12.5]";
    let toml =
        format!("[job]\nmodel='m'\n[[video]]\nprompt='p'\noutput='{{index}}'\nzip={{fps={list},seed=[1,2,3,4,5,6]}}");
    assert_eq!(rates(Syntax::Toml, &toml), want);
    let yaml = format!(
        "job: {{model: m}}\nvideo:\n- prompt: p\n  output: '{{index}}'\n  zip: {{fps: {list}, seed: [1, 2, 3, 4, 5, 6]}}"
    );
    assert_eq!(rates(Syntax::Yaml, &yaml), want);
    assert_eq!(rates(Syntax::Yaml, &yaml.replace("'24000/1001'", "24000/1001")), want);
    let json = format!(
        r#"{{"job": {{"model": "m"}}, "video": [{{"prompt": "p", "output": "{{index}}", "zip": {{"fps": {}, "seed": [1, 2, 3, 4, 5, 6]}}}}]}}"#,
        list.replace('\'', "\"")
    );
    assert_eq!(rates(Syntax::Json, &json), want);
    let spec = requests("[[video]]\nprompt='p'\nfps=23.976")[0].resolve(&info()).unwrap();
    let sidecar = |spec| serde_json::to_value(spec).unwrap()["fps"].clone();
    assert_eq!(sidecar(&spec), "24000/1001");
    assert_eq!(sidecar(&requests("[[video]]\nprompt='p'")[0].resolve(&info()).unwrap()), 16);
}

#[test]
fn json_escapes_beyond_the_basic_plane() {
    let text = r#"{"job": {"model": "m"}, "video": [{"prompt": "a \ud83d\ude00 \/ face"}]}"#;
    let manifest = Manifest::parse("faces.json", Syntax::Json, text, None).unwrap();
    assert_eq!(manifest.name, "faces", "a job without a name takes the file's");
    assert_eq!(manifest.check(None).unwrap()[0].prompt, "a 😀 / face");
}

#[test]
fn what_is_absent_stays_open() {
    let video = &requests("[[video]]\nprompt = 'a'")[0];
    assert_eq!((video.seed, video.width, &video.negative, video.guidance), (0, None, &None, None));
    assert_eq!(video.formats, [Format::Mp4]);
    assert_eq!(video.output, "j/0000-a-0");
}

#[test]
fn a_video_goes_before_defaults_and_defaults_before_the_job() {
    let text = "[job]\nname='j'\nmodel='m'\nformats=['gif']\noutput='job{index}'\n\
        [defaults]\nprompt='p'\noutput='defaults{index}'\nsteps=5\n\
        [[video]]\n[[video]]\noutput='own'\nformats=['png']\nsteps=6\nprompt='q'";
    let videos = read(text).unwrap().check(None).unwrap();
    assert_eq!((videos[0].output.as_str(), videos[0].steps, videos[0].prompt.as_str()), ("defaults0", Some(5), "p"));
    assert_eq!((videos[1].output.as_str(), videos[1].steps, videos[1].prompt.as_str()), ("own", Some(6), "q"));
    assert_eq!((&videos[0].formats[..], &videos[1].formats[..]), (&[Format::Gif][..], &[Format::Png][..]));
}

#[test]
fn the_last_name_changes_fastest_whatever_the_names_are() {
    let videos = requests(
        "[[video]]\nprompt='{z}{b}{c}{a}'\nsweep={z=[1,2],a=['x','y']}\nzip={b=[true,false],c=[0.5,2]}\noutput='{index}'",
    );
    let prompts: Vec<&str> = videos.iter().map(|video| video.prompt.as_str()).collect();
    assert_eq!(
        prompts,
        ["1true0.5x", "1false2x", "1true0.5y", "1false2y", "2true0.5x", "2false2x", "2true0.5y", "2false2y"]
    );
}

#[test]
fn settings_can_be_swept_and_named() {
    let videos = requests(
        "[[video]]\nprompt='p'\noutput='{steps}-{guidance}-{solver}-{width}x{height}-{seed:03}'\nseed=9\nheight=96\n\
         sweep={steps=[4,8],guidance=[5,{high=4.0,low=3.5}],solver=['euler'],width=[64]}",
    );
    let outputs: Vec<&str> = videos.iter().map(|video| video.output.as_str()).collect();
    assert_eq!(
        outputs,
        ["4-5-euler-64x96-009", "4-4-3.5-euler-64x96-009", "8-5-euler-64x96-009", "8-4-3.5-euler-64x96-009"]
    );
    assert_eq!(videos[3].guidance, Some(Guidance { high: 4.0, low: 3.5 }));
    assert_eq!(videos[3].solver, Some(SolverKind::Euler));
}

#[test]
fn a_swept_prompt_can_hold_names() {
    let videos = requests("[[video]]\nsweep={prompt=['a {x}','b {{x}} {x}'],x=['1','{y}']}\nzip={formats=[['gif']]}");
    let prompts: Vec<&str> = videos.iter().map(|video| video.prompt.as_str()).collect();
    assert_eq!(prompts, ["a 1", "a {y}", "b {x} 1", "b {x} {y}"], "values are not expanded again");
    assert_eq!(videos[0].formats, [Format::Gif]);
}

#[test]
fn width_and_height_come_from_the_model_where_the_manifest_is_silent() {
    let manifest =
        read("[job]\nname='j'\nmodel='m'\noutput='{width}x{height}'\n[[video]]\nprompt='p'\nheight=96").unwrap();
    assert_eq!(manifest.check(Some(&info())).unwrap()[0].output, "832x96");
    let faults = manifest.check(None).unwrap_err();
    assert_eq!(lines(&faults), ["4:9 job.output: `{width}` has no value yet"]);
}

#[test]
fn images_are_digested_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    for (name, colour) in [("a b.png", 0), ("sub/1.png", 255)] {
        image::RgbImage::from_pixel(2, 2, image::Rgb([colour; 3])).save(folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("night.toml");
    let text = "[job]\nmodel='m'\n[[video]]\nprompt='p'\nsweep={seed=[1,2],image=['a b.png','sub/1.png']}\n\
        [[video]]\nprompt='p'\nimage='sub/{n}.png'\nsweep={n=[1]}";
    std::fs::write(&path, text).unwrap();
    let manifest = Manifest::read(&path).unwrap();
    assert_eq!(manifest.name, "night");
    assert_eq!(manifest.images.len(), 2);
    let digest = |name: &str| Digest(*blake3::hash(&std::fs::read(folder.path().join(name)).unwrap()).as_bytes());
    assert_eq!(manifest.images[1].image.digest, digest("sub/1.png"));
    let i2v = ModelInfo { takes_image: true, needs_image: true, ..info() };
    let videos = manifest.check(Some(&i2v)).unwrap();
    let images: Vec<_> = videos.iter().map(|video| video.image.unwrap().file().unwrap()).collect();
    assert_eq!(images, [0, 1, 0, 1, 1].map(|image| manifest.images[image].image.digest));
    let faults = manifest.check(Some(&info())).unwrap_err();
    assert_eq!(lines(&faults)[0], "5:26 video[0].sweep.image: `m` takes no first frame");
}

#[test]
fn a_last_frame_stands_beside_a_first_one() {
    let folder = tempfile::tempdir().unwrap();
    for (name, width) in [("1-a.png", 32), ("1-b.png", 64), ("2-a.png", 64), ("2-b.png", 64), ("tall.png", 16)] {
        image::RgbImage::from_pixel(width, width / 2, image::Rgb([width as u8; 3]))
            .save(folder.path().join(name))
            .unwrap();
    }
    image::RgbImage::new(16, 32).save(folder.path().join("tall.png")).unwrap();
    let info = ModelInfo { takes_image: true, needs_image: true, vae: VaeKind::Wan21, ..info() };
    let read = |video: &str| read_in(folder.path(), video);
    let manifest = read("zip={image=['*-a.png'],last_image=['*-b.png']}").unwrap();
    let videos = manifest.check(Some(&info)).unwrap();
    let digest = |place: usize| Some(manifest.images[place].image.digest);
    assert_eq!(
        videos
            .iter()
            .map(|video| (video.image.and_then(|image| image.file()), video.last_image.and_then(|image| image.file())))
            .collect::<Vec<_>>(),
        [(digest(0), digest(1)), (digest(2), digest(3)),]
    );
    let refused = |video: &str, info: &ModelInfo| {
        lines(&read(video).and_then(|manifest| manifest.check(Some(info))).unwrap_err())
    };
    let both = "image='1-a.png'\nlast_image=";
    assert_eq!(
        refused("last_image='1-b.png'", &info),
        ["7:12 video[0].last_image: video[0].last_image has no image beside it",]
    );
    assert_eq!(
        refused(&format!("{both}'tall.png'"), &info),
        ["8:12 video[0].last_image: video[0].last_image has another shape than image",]
    );
    assert_eq!(
        refused(&format!("{both}'1-b.png'\nframes=1"), &info),
        ["8:12 video[0].last_image: video[0].last_image has no room in a single frame",]
    );
    let known = ModelInfo { vae: VaeKind::Wan22, needs_image: false, ..info };
    assert_eq!(refused(&format!("{both}'1-b.png'"), &known), ["8:12 video[0].last_image: `m` takes no last frame",]);
}

#[test]
fn several_images_make_several_videos() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("shots/inner")).unwrap();
    for name in ["first.png", "shots/b.png", "shots/a.png", "shots/.hidden.png", "shots/inner/c.png", "shots/{x}.png"] {
        let colour = image::Rgb([name.len() as u8, name.as_bytes()[6], 0]);
        image::RgbImage::from_pixel(4, 2, colour).save(folder.path().join(name)).unwrap();
    }
    let outputs = |video: &str| -> Vec<String> {
        let text = format!("[job]\nname='j'\nmodel='m'\noutput='{{image}}-{{seed}}'\n[[video]]\n{video}");
        let manifest = Manifest::parse("m.toml", Syntax::Toml, &text, Some(folder.path()));
        let manifest = manifest.unwrap_or_else(|faults| panic!("{faults}"));
        let info = ModelInfo { takes_image: true, ..info() };
        let videos = manifest.check(Some(&info)).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(videos.iter().all(|video| video.image.is_some()));
        videos.into_iter().map(|video| format!("{}: {}", video.output, video.prompt)).collect()
    };
    let of = |stems: &[&str]| stems.iter().map(|stem| format!("{stem}-0: {stem} moves")).collect::<Vec<_>>();
    let prompt = "prompt='{image} moves'";
    assert_eq!(outputs(&format!("{prompt}\nimage='first.png'")), of(&["first"]));
    assert_eq!(outputs(&format!("{prompt}\nimage=['shots/b.png','first.png']")), of(&["b", "first"]));
    assert_eq!(outputs(&format!("{prompt}\nimage='shots/*.png'")), of(&["a", "b", "{x}"]), "sorted; no hidden ones");
    assert_eq!(outputs(&format!("{prompt}\nimage='**/?.png'")), of(&["a", "b", "c"]));
    assert_eq!(outputs(&format!("{prompt}\nimage=['first.png','shots/[ab].png']")), of(&["first", "a", "b"]));
    assert_eq!(outputs(&format!("{prompt}\nsweep={{image=['shots/[ab].png']}}")), of(&["a", "b"]));
    assert_eq!(
        outputs("prompt='{n}'\nzip={image=['shots/[ab].png','first.png'],seed=[1,2,3],n=[7,8,9]}"),
        ["a-1: 7", "b-2: 8", "first-3: 9"]
    );
    assert_eq!(
        outputs("prompt='p'\nimage=['first.png','shots/a.png']\nsweep={seed=[1,2]}"),
        ["first-1: p", "first-2: p", "a-1: p", "a-2: p"]
    );
}

#[test]
fn a_file_of_exactly_that_name_is_no_pattern() {
    let folder = tempfile::tempdir().unwrap();
    for (name, width) in [("shot[1].png", 4), ("shot1.png", 6), ("shot2.png", 8), ("why?.png", 10)] {
        image::RgbImage::new(width, 2).save(folder.path().join(name)).unwrap();
    }
    let read = |image: &str| read_in(folder.path(), image);
    let widths = |image: &str| -> Vec<u32> {
        let manifest = read(image).unwrap_or_else(|faults| panic!("{faults}"));
        manifest.images.iter().map(|file| file.image.width).collect()
    };
    assert_eq!(widths("image='shot[1].png'"), [4], "though shot1.png is there");
    assert_eq!(widths("image=['shot[1].png','shot2.png']"), [4, 8]);
    assert_eq!(widths("sweep={image=['shot[1].png','why?.png']}"), [4, 10]);
    assert_eq!(widths("image='shot[12].png'"), [6, 8], "which no file is called");
    assert_eq!(widths("image='shot[[]1].png'"), [4]);
    std::fs::remove_file(folder.path().join("shot[1].png")).unwrap();
    assert_eq!(widths("image='shot[1].png'"), [6]);
    let faults = read("image='shot\\[1\\].png'").unwrap_err();
    assert!(faults.iter().next().unwrap().help.contains("write the name as it is"), "{faults}");
}

#[test]
fn a_size_that_follows_from_an_image_is_checked_as_one_that_is_set() {
    let folder = tempfile::tempdir().unwrap();
    image::RgbImage::new(1, 1000).save(folder.path().join("strip.png")).unwrap();
    let check = |settings: &str| {
        let manifest = read_in(folder.path(), &format!("image='strip.png'\n{settings}")).unwrap();
        manifest.check(Some(&ModelInfo { takes_image: true, ..info() }))
    };
    let faults = check("width=64").unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!(
        (&*fault.key, &*fault.what),
        ("video[0].image", "the size that follows from video[0].image cannot be rendered")
    );
    assert!(fault.why.contains("64x64000"), "{faults}");
    assert!(check("width=64\nheight=64").is_ok());
}

#[test]
fn a_size_that_follows_from_an_image_and_that_a_file_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    image::RgbImage::new(3000, 90).save(folder.path().join("banner.png")).unwrap();
    let check = |settings: &str| {
        let manifest = read_in(folder.path(), &format!("image='banner.png'\n{settings}")).unwrap();
        let info = ModelInfo { takes_image: true, ..wanfarm_types::fixtures::info(wanfarm_types::Experts::Single) };
        // Those who have no manifest are held to the same.
        let requests = manifest.check(Some(&info));
        let queued = manifest.check(None).unwrap();
        assert_eq!(
            crate::plan::resolve(&queued[0], [Some(manifest.images[0].image.size()), None], None, &info).is_ok(),
            requests.is_ok(),
            "{settings}"
        );
        requests
    };
    let faults = check("formats=['mp4']").unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!((&*fault.key, &*fault.what), ("video[0].image", "video[0] cannot be written as mp4"));
    assert!(fault.why.contains("5536x160") && fault.why.contains("3840x2160"), "{faults}");
    for fits in ["formats=['png']", "formats=['mp4']\nwidth=3072", "formats=['mp4']\nwidth=640\nheight=480"] {
        assert!(check(fits).is_ok(), "{fits}");
    }
}

#[test]
fn an_image_decides_the_size_where_the_manifest_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    image::RgbImage::new(72, 128).save(folder.path().join("tall.png")).unwrap();
    let size = |settings: &str, info: &ModelInfo| {
        let video = format!("image='tall.png'\noutput='{{width}}x{{height}}'\n{settings}");
        let manifest = read_in(folder.path(), &video).unwrap();
        manifest.check(Some(info)).unwrap_or_else(|faults| panic!("{faults}"))[0].output.clone()
    };
    let i2v = ModelInfo { takes_image: true, needs_image: true, ..info() };
    assert_eq!(size("", &i2v), "464x832", "832x480 pixels in all, as 9:16, floored to 16");
    assert_eq!(size("width=480\nheight=480", &i2v), "480x480");
    assert_eq!(size("width=480", &i2v), "480x848", "the other side is the image's, as it is rendered");
    let wide = Geometry { latent_channels: 48, stride_t: 4, stride_hw: 16, patch: 2 };
    let defaults = Defaults { width: 1280, height: 704, ..info().defaults };
    let ti2v = ModelInfo { takes_image: true, vae: VaeKind::Wan22, geometry: wide, defaults, ..info() };
    assert_eq!(size("", &ti2v), "704x1248");
}

#[test]
fn seeds_left_to_chance_are_the_same_for_the_same_draw_whatever_else_is_added() {
    let seeds = |text: &str, key: &str| -> Vec<u64> {
        let manifest =
            Manifest { draw: crate::Draw::of(key), ..read_videos(text).unwrap_or_else(|faults| panic!("{faults}")) };
        manifest.check(None).unwrap().iter().map(|video| video.seed).collect()
    };
    let text = "[defaults]\nseed='random'\n[[video]]\nprompt='p'\n[[video]]\nprompt='p'\n\
                [[video]]\nprompt='{x}'\nsweep={x=['q','r']}\n[[video]]\nprompt='s'\nseed=7";
    let first = seeds(text, "monday");
    assert_eq!(first.len(), 5);
    assert_eq!(first[4], 7);
    let different: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(different.len(), 5, "equal videos get different seeds too: {first:?}");
    assert!(first.iter().all(|seed| *seed <= u64::from(u32::MAX)));
    assert_eq!(seeds(text, "monday"), first);
    assert!(seeds(text, "tuesday").iter().zip(&first).take(4).all(|(other, seed)| other != seed));
    let more = text.replacen("[[video]]", "[[video]]\nprompt='new'\n[[video]]", 1);
    assert_eq!(seeds(&more, "monday")[1..], first, "what is added changes none of the others");
    let manifest = read_videos(text).unwrap();
    assert!(manifest.draws_seeds());
    assert_eq!(manifest.check(None).unwrap(), manifest.check(None).unwrap());
    assert_ne!(read_videos(text).unwrap().check(None).unwrap()[0].seed, manifest.check(None).unwrap()[0].seed);
    let named = "[[video]]\nprompt='p'\nseed='random'\noutput='{seed}'";
    let named = read_videos(named).unwrap().check(None).unwrap();
    assert_eq!(named[0].output, named[0].seed.to_string());
    assert_eq!(
        told(read_videos("[[video]]\nprompt='p'\nseed='rnadom'")),
        ["6:6 video[0].seed: video[0].seed knows no `rnadom`"]
    );
}
