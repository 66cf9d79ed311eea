//! Step caches, NAG and LoRA files: what manifests with them ask for, and what is refused.

use std::path::Path;

use wanfarm_types::{
    CacheRequest, CacheSettings, CfgCacheRequest, Decode, Digest, Expert, MagCache, MagCacheRequest, MagCurve, Nag,
    Retention, SenCacheRequest, TeaCacheRequest, TeaModel, TinyVae,
};

use super::super::cache::KINDS;
use super::super::keys::Rule;
use super::*;

fn cache(value: &str) -> Option<CacheRequest> {
    requests(&format!("[[video]]\nprompt='p'\ncache={value}")).remove(0).cache
}

/// A LoRA file of one pair of matrices, told from others by a word in its header.
fn lora(path: &Path, word: &str) -> Digest {
    lora_of(path, word, 5120, &["blocks.3.self_attn.q"])
}

/// One with a pair of matrices for each of these modules of a model of so many channels.
fn lora_of(path: &Path, word: &str, channels: usize, modules: &[&str]) -> Digest {
    let (mut header, mut at) = (format!("{{\"__metadata__\":{{\"word\":\"{word}\"}}"), 0);
    for module in modules {
        for (matrix, shape) in [("lora_A", [1, channels]), ("lora_B", [channels, 1])] {
            let end = at + channels;
            let key = format!("diffusion_model.{module}.{matrix}.weight");
            header +=
                &format!(",\"{key}\":{{\"dtype\":\"F8_E4M3\",\"shape\":{shape:?},\"data_offsets\":[{at},{end}]}}");
            at = end;
        }
    }
    header.push('}');
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0x38; at][..]].concat();
    std::fs::write(path, &bytes).unwrap();
    Digest(*blake3::hash(&bytes).as_bytes())
}

#[test]
fn a_cache_is_a_kind_or_a_table() {
    let mag = |request| Some(CacheRequest::Magcache(request));
    assert_eq!(cache("'magcache'"), mag(MagCacheRequest::default()));
    let all = "{kind='magcache',threshold=0.05,max_skip=3,retention=0,joint=true,zones='first-phase',curve='i2v-a14b'}";
    assert_eq!(
        cache(all),
        mag(MagCacheRequest {
            curve: Some(MagCurve::I2vA14b),
            threshold: Some(0.05),
            max_skip: Some(3),
            retention: Some(0.0),
            zones: Some(Retention::FirstPhase),
            joint: Some(true),
        })
    );
    let tea = TeaCacheRequest { model: Some(TeaModel::Linear), threshold: Some(1.0), projected: Some(false) };
    let tea = Some(CacheRequest::Teacache(tea));
    assert_eq!(cache("{projected=false,threshold=1,model='linear',kind='teacache'}"), tea);
    let cfg = CfgCacheRequest { interval: Some(2), start: Some(0.0), end: Some(1.0), alpha: Some(0.5) };
    assert_eq!(cache("{kind='cfg-cache',interval=2,start=0,end=1,alpha=0.5}"), Some(CacheRequest::CfgCache(cfg)));
    let sen = SenCacheRequest { tolerance: Some(0.2), max_skip: Some(1), ..SenCacheRequest::default() };
    assert_eq!(cache("{kind='sencache',tolerance=0.2,max_skip=1}"), Some(CacheRequest::Sencache(sen)));
    assert_eq!((cache("'none'"), cache("{kind='none'}")), (None, None));
}

#[test]
fn a_video_replaces_the_default_and_none_switches_it_off() {
    let videos = requests(
        "[defaults]\nprompt='p'\ncache={kind='magcache',threshold=0.1}\n\
         [[video]]\n[[video]]\ncache='none'\n[[video]]\ncache='magcache'\n\
         [[video]]\nseed=1\noutput='{cache}-{index}'\nsweep={cache=['none','sencache',{kind='magcache',threshold=0.2}]}",
    );
    let threshold = |video: &VideoRequest| match &video.cache {
        Some(CacheRequest::Magcache(cache)) => cache.threshold,
        _ => None,
    };
    assert_eq!(videos.iter().map(threshold).collect::<Vec<_>>(), [Some(0.1), None, None, None, None, Some(0.2)]);
    assert_eq!((&videos[1].cache, &videos[3].cache), (&None, &None));
    assert_eq!(videos[2].cache, Some(CacheRequest::Magcache(MagCacheRequest::default())), "replaced, not merged");
    let outputs: Vec<&str> = videos[3..].iter().map(|video| video.output.as_str()).collect();
    assert_eq!(outputs, ["none-3", "sencache-4", "magcache-0.2-5"]);
    let settings = videos[2].resolve(&info()).unwrap().cache;
    assert_eq!(settings, CacheSettings::Magcache(MagCache::published(MagCurve::T2vA14b)));
}

#[test]
fn the_bounds_and_words_of_a_key_are_those_of_its_setting() {
    for kind in &KINDS {
        for key in kind.keys {
            let ends = match &key.rule {
                Rule::Number { least, most, .. } => vec![least.to_string(), most.to_string()],
                Rule::Whole(range) => vec![range.start().to_string(), range.end().to_string()],
                Rule::Word(words) => words.iter().map(|word| format!("'{word}'")).collect(),
                _ => continue,
            };
            for end in ends {
                // What has to be there besides.
                let rest = match (kind.name, key.name) {
                    (_, "start") => ",end=1",
                    (_, "end") => ",start=0",
                    ("teacache", "threshold") => ",model='t2v-14b'",
                    ("teacache", "model") => ",threshold=0.1",
                    _ => "",
                };
                let video = requests(&format!(
                    "[[video]]\nprompt='p'\ncache={{kind='{}',{}={end}{rest}}}",
                    kind.name, key.name
                ));
                assert!(video[0].resolve(&info()).is_ok(), "{} {} {end}", kind.name, key.name);
            }
        }
    }
}

#[test]
fn faults_of_caches_all_at_once() {
    let text = "[job]\nname = 'j'\nmodel = 'm'\n[[video]]\nprompt = 'p'\n[video.cache]\nkind = 'teacache'\nmax_skip = 2\n\
        treshold = 3\nthreshold = -1\nprojected = 1\nmodel = 'wan'\n[[video]]\nprompt = 'q'\ncache = 'magcash'\n\
        [[video]]\nprompt = 'r'\ncache = {threshold = 1}\n[[video]]\nprompt = 's'\ncache = {kind = 'sen', start = 2}\n\
        [[video]]\nprompt = 't'\ncache = 3\n";
    let faults = read(text).unwrap_err();
    assert_eq!(
        lines(&faults),
        [
            "8:1 video[0].cache.max_skip: teacache has no `max_skip`",
            "9:1 video[0].cache.treshold: unknown key `treshold`",
            "10:13 video[0].cache.threshold: video[0].cache.threshold is out of range",
            "11:13 video[0].cache.projected: video[0].cache.projected is a whole number",
            "12:9 video[0].cache.model: video[0].cache.model knows no `wan`",
            "15:9 video[1].cache: video[1].cache knows no `magcash`",
            "18:9 video[2].cache: video[2].cache names no kind",
            "21:17 video[3].cache.kind: video[3].cache.kind knows no `sen`",
            "21:32 video[3].cache.start: video[3].cache.start is out of range",
            "24:9 video[4].cache: video[4].cache is a whole number",
        ]
    );
    let told: Vec<_> = faults.iter().map(|fault| (&*fault.why, &*fault.help)).collect();
    assert_eq!(told[0].0, "it is a setting of magcache and sencache");
    assert_eq!((told[1].1, told[5].1), ("did you mean `threshold`?", "did you mean `magcache`?"));
}

#[test]
fn caches_that_do_not_fit_the_video() {
    let distilled = "[[video]]\nprompt='p'\nsolver='lightning'\ncache='sencache'";
    let unguided = "[[video]]\nprompt='p'\nguidance=1\ncache='cfg-cache'";
    for video in [distilled, unguided] {
        let told = told(read_videos(video));
        assert!(told.len() == 1 && told[0].starts_with("7:7 video[0].cache: video[0].cache cannot be"), "{told:?}");
    }
    let of = |video: &str, info: &ModelInfo| {
        let manifest = read_videos(&format!("[defaults]\n{video}\n[[video]]\nprompt='p'")).unwrap();
        manifest.check(Some(info)).map_err(|faults| (lines(&faults), faults.iter().next().unwrap().why.to_string()))
    };
    let custom = ModelInfo { preset: "custom".into(), ..info() };
    let (told, why) = of("cache='magcache'", &custom).unwrap_err();
    assert_eq!(told, ["5:7 defaults.cache: defaults.cache cannot be magcache"]);
    assert!(why.contains("coordinator calibrate"), "{why}");
    assert!(of("cache={kind='magcache',curve='t2v-a14b'}", &custom).is_ok());
    assert!(of("cache='magcache'", &info()).is_ok());
    assert!(of("cache='teacache'", &info()).unwrap_err().1.contains("no TeaCache polynomial"));
    assert!(of("cache={kind='cfg-cache',start=0.95}", &info()).unwrap_err().1.contains("end before it starts"));
    let distilled = Defaults { solver: SolverKind::Lightning, ..info().defaults };
    assert!(of("cache='sencache'", &ModelInfo { defaults: distilled, ..info() }).is_err());
}

#[test]
fn nag_is_on_or_off_or_has_settings_of_its_own() {
    let nag = |value: &str| requests(&format!("[[video]]\nprompt='p'\nnag={value}")).remove(0).nag;
    let published = Nag::default();
    assert_eq!((nag("true"), nag("{}"), nag("false")), (Some(published), Some(published), None));
    assert_eq!(nag("{ scale = 4, alpha = 0.5 }"), Some(Nag { scale: 4.0, alpha: 0.5, ..published }));
    let videos = requests(
        "[defaults]\nnag=true\nprompt='p'\n[[video]]\nnag=false\n[[video]]\nseed=1\noutput='{nag}'\nsweep={nag=[true,{scale=3,tau=2}]}",
    );
    let scales: Vec<_> = videos.iter().map(|video| video.nag.map(|nag| nag.scale)).collect();
    assert_eq!(scales, [None, Some(11.0), Some(3.0)]);
    assert_eq!([&videos[1].output, &videos[2].output], ["true", "3-2"]);
    let faults = "[[video]]\nprompt='p'\nnag={scale=0.5,tau='a',beta=1}\n[[video]]\nprompt='q'\nnag='on'";
    assert_eq!(
        told(read_videos(faults)),
        [
            "6:12 video[0].nag.scale: video[0].nag.scale is out of range",
            "6:20 video[0].nag.tau: video[0].nag.tau is a text",
            "6:24 video[0].nag.beta: unknown key `beta`",
            "9:5 video[1].nag: video[1].nag is a text",
        ]
    );
}

#[test]
fn nag_beside_guidance_is_noted_once() {
    let notes = |video: &str| {
        let text = format!("[defaults]\nnag=true\n[[video]]\nprompt='p'\n{video}\n[[video]]\nprompt='q'\n{video}");
        read_videos(&text).unwrap().setting_notes(&info())
    };
    let [note] = notes("").try_into().unwrap();
    assert!(note.starts_with("nag is on beside guidance"), "{note}");
    for alone in ["guidance=1", "nag=false"] {
        assert!(notes(alone).is_empty(), "{alone}");
    }
}

#[test]
fn distilled_loras_choose_their_solver_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let names =
        ["high", "low"].map(|expert| format!("wan2.2_t2v_lightx2v_4steps_lora_v1.1_{expert}_noise.safetensors"));
    for name in &names {
        lora(&folder.path().join(name), name);
    }
    lora(&folder.path().join("FastWan.safetensors"), "dmd");
    lora(&folder.path().join("TurboWan.safetensors"), "turbo");
    lora(&folder.path().join("film.safetensors"), "film");
    let [high, low] = &names;
    let pair = format!("loras=[{{path='{high}',expert='high'}},{{path='{low}',expert='low'}}]");
    let of = |video: &str| {
        let manifest = read_in(folder.path(), video).unwrap();
        let spec = manifest.check(Some(&info())).unwrap()[0].resolve(&info()).unwrap();
        ((spec.solver, spec.steps, spec.shift, spec.guidance.high), manifest.setting_notes(&info()))
    };
    let lightning = (SolverKind::Lightning, 4, 5.0, 1.0);
    let (settings, notes) = of(&pair);
    assert_eq!(settings, lightning);
    assert!(
        notes.len() == 1
            && notes[0].ends_with("is of Wan2.2-Lightning: solver lightning, 4 steps, shift 5, no guidance")
    );
    // Said by the manifest itself, there is nothing to tell.
    assert_eq!(of(&format!("{pair}\nsolver='lightning'")), (lightning, Vec::new()));
    for (other, words) in [
        ("solver='unipc'", "write solver = \"lightning\", and leave steps and guidance out"),
        ("steps=20", "write solver"),
        ("guidance=4", "write solver"),
    ] {
        let (_, notes) = of(&format!("{pair}\n{other}"));
        assert!(notes.len() == 1 && notes[0].contains(words), "{other}: {notes:?}");
    }
    let (settings, notes) = of("loras=['FastWan.safetensors']");
    assert!(settings.0 == SolverKind::Dmd && notes[0].ends_with("dmd, 3 steps, shift 8, no guidance"), "{notes:?}");
    let (settings, notes) = of("loras=['TurboWan.safetensors']");
    assert!(settings.0 == SolverKind::UniPc && notes[0].contains("whose attention no network here has"), "{notes:?}");
    // Left out by its strength, it decides nothing.
    let off = format!("loras=[{{path='{high}',strength=0}}]");
    assert!(of(&off).0.0 == SolverKind::UniPc && of(&off).1.is_empty());
    for (few, words) in [("steps=4", "4 steps are few for"), ("solver='lightning'", "is for distilled weights")] {
        let (_, notes) = of(few);
        assert!(notes.len() == 1 && notes[0].contains(words), "{few}: {notes:?}");
    }
    // Whoever names both may know a file by another name.
    assert!(of("solver='lightning'\nloras=['film.safetensors']").1.is_empty());
}

#[test]
fn lora_files_are_digested_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("styles")).unwrap();
    let film = lora(&folder.path().join("styles/film.safetensors"), "film");
    let grain = lora(&folder.path().join("grain.safetensors"), "grain");
    let manifest = read_in(
        folder.path(),
        "loras=['styles/film.safetensors',{path='grain.safetensors',strength=-0.5,expert='low'}]\n\
         [[video]]\nprompt='q'\noutput='{loras}'\nsweep={loras=[[],[{path='grain.safetensors',strength=2}],\
         ['grain.safetensors','styles/film.safetensors']]}",
    )
    .unwrap();
    assert_eq!(manifest.loras.len(), 2);
    let videos = manifest.check(Some(&info())).unwrap();
    let [first, second] = &videos[0].loras[..] else { panic!("{:?}", videos[0].loras) };
    assert_eq!(
        (first.name.as_str(), first.blake3, first.strength, first.expert),
        ("film.safetensors", film, 1.0, None)
    );
    assert_eq!((second.blake3, second.strength, second.expert), (grain, -0.5, Some(Expert::Low)));
    assert_eq!(second.bytes, std::fs::metadata(folder.path().join("grain.safetensors")).unwrap().len());
    let rest: Vec<_> = videos[1..].iter().map(|video| (video.output.as_str(), video.loras.len())).collect();
    assert_eq!(rest, [("none", 0), ("grain-2", 1), ("grain+film", 2)]);
    // Of strength 0, nothing is left to be looked for by anyone.
    let off = read_in(folder.path(), "loras=[{path='grain.safetensors',strength=0}]").unwrap();
    let off = &off.check(Some(&info())).unwrap()[0];
    assert_eq!((off.loras.len(), off.resolve(&info()).unwrap().loras.len()), (1, 0));
}

#[test]
fn a_lora_of_another_model_is_refused_where_the_model_is_known() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("styles")).unwrap();
    let at = |name: &str| folder.path().join(name);
    lora(&at("good.safetensors"), "good");
    lora_of(&at("styles/narrow.safetensors"), "n", 1536, &["blocks.3.self_attn.q"]);
    lora_of(&at("deep.safetensors"), "d", 5120, &["blocks.40.self_attn.q"]);
    let loras = "loras=['good.safetensors','styles/narrow.safetensors',{path='deep.safetensors',expert='low'}]\n\
                 sweep={seed=[1,2,3]}\noutput='{seed}'";
    let manifest = read_in(folder.path(), &loras.replace("output='{index}'", "")).unwrap();
    assert_eq!(manifest.check(None).unwrap().len(), 3, "without a model nobody knows");
    let faults = manifest.check(Some(&info())).unwrap_err();
    let [narrow, deep] = faults.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(&*narrow.what, "cannot use the LoRA `styles/narrow.safetensors`");
    assert!(narrow.why.contains("blocks.3.self_attn.q.weight is [1536, 1536] in it, [5120, 5120] in the model"));
    assert_eq!((&*deep.key, &*deep.what), ("video[0].loras[2]", "cannot use the LoRA `deep.safetensors`"));
    assert!(deep.why.contains("no place in the model: blocks.40.self_attn.q.weight"), "{}", deep.why);
    // Strength 0 leaves it out, so it may be whatever it is.
    let off = read_in(folder.path(), "loras=[{path='deep.safetensors',strength=0}]").unwrap();
    assert!(off.check(Some(&info())).is_ok());
}

#[test]
fn a_lora_that_is_applied_in_part_is_noted_once() {
    let folder = tempfile::tempdir().unwrap();
    let modules = ["blocks.3.self_attn.q", "blocks.3.cross_attn.k_img"];
    lora_of(&folder.path().join("i2v.safetensors"), "i", 5120, &modules);
    let manifest =
        read_in(folder.path(), "loras=['i2v.safetensors']\n[[video]]\nprompt='q'\nloras=['i2v.safetensors']");
    let manifest = manifest.unwrap();
    assert_eq!(manifest.check(Some(&info())).unwrap().len(), 2);
    let [note] = manifest.setting_notes(&info()).try_into().unwrap();
    assert!(note.starts_with("the LoRA i2v.safetensors: 1 of its 2 changes are left out"), "{note}");
    lora(&folder.path().join("i2v.safetensors"), "whole");
    assert!(read_in(folder.path(), "loras=['i2v.safetensors']").unwrap().setting_notes(&info()).is_empty());
}

#[test]
fn faults_of_lora_files_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    lora(&folder.path().join("a.safetensors"), "a");
    std::fs::write(folder.path().join("b.safetensors"), "no tensors at all").unwrap();
    std::fs::write(folder.path().join("c.safetensors"), "short").unwrap();
    let one = |video: &str| match read_in(folder.path(), video) {
        Ok(manifest) => lines(&manifest.check(Some(&info())).unwrap_err()),
        Err(faults) => lines(&faults),
    };
    for (video, want) in [
        ("loras='a.safetensors'", "video[0].loras: video[0].loras is a text"),
        ("loras=[3]", "video[0].loras[0]: video[0].loras[0] is a whole number"),
        ("loras=['']", "video[0].loras[0]: video[0].loras[0] is empty"),
        ("loras=[{strength=1}]", "video[0].loras[0]: video[0].loras[0] names no file"),
        (
            "loras=[{path='a.safetensors',strength=nan}]",
            "video[0].loras[0].strength: video[0].loras[0].strength is out of range",
        ),
        ("loras=[{path='a.safetensors',scale=1}]", "video[0].loras[0].scale: unknown key `scale`"),
        (
            "loras=[{path='a.safetensors',expert='hi'}]",
            "video[0].loras[0].expert: video[0].loras[0].expert knows no `hi`",
        ),
        (
            "loras=['a.safetensors',{path='a.safetensors',expert='low'}]",
            "video[0].loras[1]: `a.safetensors` is there twice for one expert",
        ),
    ] {
        let told = one(video);
        let [line] = &told[..] else { panic!("{video}: {told:?}") };
        assert!(line.starts_with("7:") && line.ends_with(&format!(" {want}")), "{video}: {line}");
    }
    let told = one("loras=['none.safetensors','b.safetensors','c.safetensors','.']");
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|line| line.contains(": cannot use the LoRA `")), "{told:?}");
    let twice = read_in(
        folder.path(),
        "loras=[{path='a.safetensors',expert='high'},{path='a.safetensors',strength=0.5,expert='low'}]",
    );
    let manifest = twice.unwrap_or_else(|faults| panic!("{faults}"));
    let single = ModelInfo { experts: Experts::Single, ..info() };
    let faults = manifest.check(Some(&single)).unwrap_err();
    let told = lines(&faults);
    for (line, n) in told.iter().zip(0..) {
        let what = format!(" video[0].loras[{n}]: video[0].loras[{n}] names an expert that is not there");
        assert!(line.starts_with("7:") && line.ends_with(&what), "{line}");
    }
    assert_eq!(told.len(), 2);
    assert!(read("[job]\nmodel='m'\n[[video]]\nprompt='p'\nloras=['a.safetensors']").is_err(), "no folder, no files");
}

#[test]
fn a_draft_needs_a_tiny_vae_where_the_model_is_known() {
    let manifest =
        "[job]\nmodel='m'\n[defaults]\ndecode='tiny'\n[[video]]\nprompt='p'\n[[video]]\nprompt='q'\ndecode='full'";
    let manifest = Manifest::parse("m.toml", Syntax::Toml, manifest, None).unwrap();
    let decodes: Vec<_> = manifest.check(None).unwrap().into_iter().map(|video| video.decode).collect();
    assert_eq!(decodes, [Decode::Tiny, Decode::Full]);
    let faults = manifest.check(Some(&info())).unwrap_err();
    let told: Vec<_> = faults.iter().map(|fault| (&*fault.key, fault.at.map(|at| at.line))).collect();
    assert_eq!(told, [("defaults.decode", Some(4))]);
    let tiny_vae = Some(TinyVae::Here { file: "t".into(), blake3: Digest([7; 32]) });
    assert!(manifest.check(Some(&ModelInfo { tiny_vae, ..info() })).is_ok());
}
