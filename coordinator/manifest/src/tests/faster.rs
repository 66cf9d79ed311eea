//! Step caches and LoRA files: what manifests with them ask for, and what is refused.

use std::path::Path;

use wanfarm_types::{
    CacheRequest, CacheSettings, CfgCacheRequest, Digest, Expert, MagCache, MagCacheRequest, MagCurve, Retention,
    SenCacheRequest, TeaCacheRequest, TeaModel,
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
    let [note] = manifest.lora_notes(&info()).try_into().unwrap();
    assert!(note.starts_with("the LoRA i2v.safetensors: 1 of its 2 changes are left out"), "{note}");
    lora(&folder.path().join("i2v.safetensors"), "whole");
    assert!(read_in(folder.path(), "loras=['i2v.safetensors']").unwrap().lora_notes(&info()).is_empty());
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
