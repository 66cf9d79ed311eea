//! Manifests in three syntaxes: read, checked, and planned for models. The first byte chooses the syntax and whether files
//! came with it.
#![no_main]

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::{header, models, scratch, seeds};
use wanfarm_manifest::{Faults, GivenFile, Manifest, Syntax, Taken, again, check_submission, plan};
use wanfarm_media::{Frames, gif, png};
use wanfarm_proto::v1;
use wanfarm_scheduler::JobPlan;
use wanfarm_types::{Digest, FrameRate, JobId, ModelInfo, VideoRequest, VideoSpec};

/// Jobs of more videos are read and no more: what is asked of each is asked of these.
const MAX_VIDEOS: usize = 64;
const SYNTAXES: [Syntax; 3] = [Syntax::Toml, Syntax::Yaml, Syntax::Json];

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [kind, text @ ..] = data else { return };
    let syntax = SYNTAXES[usize::from(*kind) % 3];
    let text = String::from_utf8_lossy(text);
    let read = match kind & 0x80 {
        0 => Manifest::parse("night.txt", syntax, &text, None),
        _ => Manifest::parse_with("night.txt", syntax, &text, files().clone()),
    };
    let manifest = match read {
        Ok(manifest) => manifest,
        Err(faults) => return told(&faults),
    };
    assert!(manifest.videos() > 0);
    if manifest.videos() > MAX_VIDEOS {
        return;
    }
    match manifest.check(None) {
        Ok(requests) => asked(&manifest, &requests, kind & 0x80 != 0),
        Err(faults) => told(&faults),
    }
    for info in models::all() {
        match manifest.check(Some(&info)) {
            Ok(requests) => planned(&manifest, &requests, &info),
            Err(faults) => told(&faults),
        }
    }
});

/// Whatever is wrong is told, and what to do.
fn told(faults: &Faults) {
    assert!(faults.count() > 0 && !faults.render(true).is_empty() && !faults.to_string().is_empty());
    for fault in faults.iter() {
        assert!(!fault.what.is_empty() && !fault.why.is_empty() && !fault.help.is_empty(), "{fault:?}");
    }
}

/// What is accepted can be submitted, comes through every wire as it is, and is the same when it is written anew.
fn asked(manifest: &Manifest, requests: &[VideoRequest], has_files: bool) {
    let submission = manifest.submission("key".into(), Taken::Refuse, requests.to_vec());
    assert_eq!(check_submission(&submission), Ok(()), "a coordinator would refuse it");
    for request in requests {
        let json = serde_json::to_string(request).expect("a request is JSON in rows");
        assert_eq!(&serde_json::from_str::<VideoRequest>(&json).expect("it is read again"), request);
        let wire = v1::VideoRequest::from(request.clone());
        assert_eq!(VideoRequest::try_from(wire).as_ref(), Ok(request));
        let output = Path::new(&request.output);
        assert!(output.components().all(|part| matches!(part, Component::Normal(_))), "{output:?}");
    }
    let json = manifest.to_json().expect("what was read is read again");
    assert!(!json.contains("{{") && !json.contains("}}"), "{json}");
    if !has_files && !manifest.draws_seeds() {
        let anew = Manifest::parse("other.json", Syntax::Json, &json, None);
        let anew = anew.and_then(|anew| anew.check(None));
        assert_eq!(anew.expect("it has no fault of its own"), requests, "{json}");
    }
}

/// What a model was asked about renders with it, and its settings make the same video again.
fn planned(manifest: &Manifest, requests: &[VideoRequest], info: &ModelInfo) {
    let images: BTreeMap<Digest, _> = manifest.images.iter().map(|file| (file.image.digest, file.image)).collect();
    let resolved = plan::resolve_all(requests, |digest| images.get(digest), info);
    let resolved: Result<Vec<_>, _> = resolved.into_iter().collect();
    let (videos, specs): (Vec<_>, Vec<VideoSpec>) = resolved.expect("it was checked").into_iter().unzip();
    let job = JobPlan { id: JobId(1), priority: 0, model: info.name.clone(), early_look: false, videos };
    assert_eq!(job.check(), Ok(()));
    for spec in specs.iter().take(4) {
        let json = serde_json::to_string(spec).expect("settings are JSON in rows");
        assert_eq!(&serde_json::from_str::<VideoSpec>(&json).expect("they are read again"), spec);
        let text = again(spec);
        if !spec.loras.is_empty() || spec.image.is_some() || spec.last_image.is_some() || spec.video.is_some() {
            continue;
        }
        let anew = Manifest::parse("again.toml", Syntax::Toml, &text, None).and_then(|anew| anew.check(Some(info)));
        let [anew] = &*anew.expect("it has no fault of its own") else { panic!("one video: {text}") };
        let (output, formats) = (spec.output.clone(), spec.formats.clone());
        let anew = VideoRequest { output, formats, ..anew.clone() };
        assert_eq!(anew.resolve(info).as_ref(), Ok(spec), "{text}");
    }
}

/// A picture, a clip and a LoRA file, by the names that manifests have for them.
fn files() -> &'static BTreeMap<String, GivenFile> {
    static FILES: OnceLock<BTreeMap<String, GivenFile>> = OnceLock::new();
    FILES.get_or_init(|| {
        let pixels = vec![90; 5 * 64 * 64 * 3];
        let frames = Frames::new(&pixels, 5, 64, 64).expect("five frames");
        let lora: [(&str, &[usize]); 2] =
            [("blocks.1.self_attn.q.lora_A.weight", &[3, 5120]), ("blocks.1.self_attn.q.lora_B.weight", &[5120, 3])];
        let files = [
            ("a.png", png(&frames, 0, Path::new("a.png")).expect("a picture")),
            ("c.gif", gif(&frames, FrameRate::whole(16)).expect("a clip")),
            ("l.safetensors", header::file(&header::f32(lora), 0)),
        ];
        let given = |(name, bytes): (&str, Vec<u8>)| {
            let file = GivenFile { path: scratch::file(name, &bytes), blake3: Digest([bytes.len() as u8; 32]) };
            (name.to_owned(), file)
        };
        files.into_iter().map(given).collect()
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for text in [&seeds::committed("deploy/demo/shapes.toml"), &seeds::committed("deploy/demo/chain.toml")] {
        seeds.push(seeds::behind(0, text));
        let text = String::from_utf8_lossy(text);
        if let Some(json) =
            Manifest::parse("night.toml", Syntax::Toml, &text, None).ok().and_then(|read| read.to_json())
        {
            seeds.extend([1, 2].map(|syntax| seeds::behind(syntax, &json)));
        }
    }
    for text in TEXTS {
        seeds.extend([0, 0x81].map(|kind| seeds::behind(kind, text)));
    }
    seeds.push(seeds::behind(1, YAML));
    seeds
}

const TEXTS: [&str; 5] = [
    "[job]\nmodel='m'\n[[video]]\nprompt='a {n} {{b}} {z:04}'\nzip={z=[1,2],n=['b','a']}\nsweep={seed=[3,1]}\n",
    "[job]\nmodel='m'\noutput='{job}/{index:04}-{slug}'\nformats=['mp4','png','gif','contact']\n[[video]]\nname='a'\n\
     prompt='p'\nseed=1\nwidth=480\nheight=832\nframes=17\nfps=16\nsteps=9\nshift=5.0\nsolver='euler'\n\
     guidance={high=4.0,low=3.0}\nnag={scale=11.0}\ncache='magcache'\ndecode='tiny'\n[[video]]\nprompt='q'\n\
     image={from='a'}\nseed=2\n",
    "[job]\nmodel='m'\n[[video]]\nprompt='p'\nimage='a.png'\nlast_image='a.png'\nseed=1\n[[video]]\nprompt='p'\n\
     video='c.gif'\nstrength=0.5\nloras=[{path='l.safetensors',strength=0.5,expert='high'}]\nseed=2\n",
    "[job]\nmodel='m'\n[defaults]\nfps=12.5\nseed='random'\nnegative=''\n[[video]]\nprompt='p'\nimage='c.gif'\noverlap=5\n",
    "[job]\nname='n'\nmodel='m'\npriority=3\nearly_look=true\nowner='ann'\nnote='x'\nlabels={shot='010'}\n[[video]]\n\
     prompt='p'\ncache={kind='teacache',threshold=0.1}\njoin='film.mp4'\nname='b'\nframes=5\nseed=7\n",
];
const YAML: &str = "job: &j\n  model: m\n  name: n\nbase: &b {prompt: p, seed: 1}\nvideo:\n- <<: *b\n  seed: 2\n- prompt: |\n    two\n    lines\n  sweep: {seed: [1, 2]}\n";
