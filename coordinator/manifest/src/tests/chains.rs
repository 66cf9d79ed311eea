//! Videos that start from frames of others: what they mean, and what is refused.

use wanfarm_types::{FrameOf, ImageSource};

use super::*;

/// A model that renders from text and from images.
fn both() -> ModelInfo {
    ModelInfo { takes_image: true, ..info() }
}

/// The videos of a manifest with these lines from line 4 on, as the coordinator gets them.
fn chained(videos: &str) -> Vec<VideoRequest> {
    read_videos(videos).unwrap_or_else(|faults| panic!("{faults}")).check(Some(&both())).unwrap()
}

fn starts(videos: &[VideoRequest]) -> Vec<Option<(u32, Option<u32>)>> {
    let start = |video: &VideoRequest| video.image.map(|image| image.frame().unwrap());
    videos.iter().map(|video| start(video).map(|FrameOf { video, frame }| (video, frame))).collect()
}

fn faults(videos: &str) -> Vec<String> {
    told(read_videos(videos))
}

#[test]
fn a_video_starts_from_a_frame_of_another_wherever_that_stands() {
    let videos = chained(
        "[[video]]\nname='c'\nprompt='{image} goes on'\nimage={from='b',frame='first'}\noutput='{name}-{image}'\n\
         [[video]]\nname='a'\nprompt='p'\n[[video]]\nname='b'\nprompt='q'\nimage={from='a'}\n\
         [[video]]\nprompt='r'\nimage={from='a',frame=16}\n[[video]]\nprompt='s'\nimage={from='a',frame='last'}",
    );
    assert_eq!(starts(&videos), [Some((2, Some(0))), None, Some((1, None)), Some((1, Some(16))), Some((1, None))]);
    assert_eq!((videos[0].prompt.as_str(), videos[0].output.as_str()), ("b goes on", "c-b"));
    assert_eq!(videos[0].name.as_deref(), Some("c"));
    assert_eq!(videos[3].name, None);
    let named = "[job]\nname='j'\nmodel='m'\noutput='{name}'\n[[video]]\nname='a'\nprompt='p'";
    assert_eq!(read(named).unwrap().check(None).unwrap()[0].output, "a");
}

#[test]
fn what_starts_from_a_video_has_its_size_where_it_names_none() {
    let text = "[[video]]\nname='a'\nprompt='p'\nwidth=320\nheight=576\n[[video]]\nname='b'\nprompt='p'\nimage={from='a'}\n\
                output='{width}x{height}'\n[[video]]\nprompt='p'\nimage={from='b'}\nwidth=160\noutput='{width}x{height}'";
    let videos = chained(text);
    assert_eq!((videos[1].output.as_str(), videos[2].output.as_str()), ("320x576", "160x288"));
    assert_eq!(
        crate::check_submission(&read_videos(text).unwrap().submission(String::new(), crate::Taken::Refuse, videos)),
        Ok(())
    );
}

#[test]
fn a_video_carries_on_from_several_frames() {
    let videos = chained(
        "[[video]]\nname='a'\nprompt='p'\n[[video]]\nprompt='q'\nimage={from='a'}\noverlap=5\n\
         [[video]]\nprompt='r'\nimage={from='a',frame=16}\noverlap=9\nfps=16",
    );
    assert_eq!(videos.iter().map(|video| video.overlap).collect::<Vec<_>>(), [None, Some(5), Some(9)]);
    let defaults =
        "[job]\nmodel='m'\n[defaults]\noverlap=5\nprompt='p'\n[[video]]\nname='a'\n[[video]]\nimage={from='a'}";
    let videos = read(defaults).unwrap().check(Some(&both())).unwrap();
    assert_eq!(videos.iter().map(|video| video.overlap).collect::<Vec<_>>(), [None, Some(5)], "for those that can");

    let refused = |line: &str| {
        let text = format!("[[video]]\nname='a'\nprompt='p'\nframes=17\n[[video]]\nprompt='q'\nframes=17\n{line}");
        let checked = read_videos(&text).and_then(|manifest| manifest.check(Some(&both())));
        checked.err().map(|faults| lines(&faults)).unwrap_or_default()
    };
    assert_eq!(refused("image={from='a'}\noverlap=5"), [""; 0]);
    assert_eq!(refused("overlap=5"), ["11:9 video[1].overlap: video[1].overlap has no image beside it"]);
    assert_eq!(refused("image={from='a'}\noverlap=6"), ["12:9 video[1].overlap: video[1].overlap = 6 is not 4n+1"]);
    assert_eq!(
        refused("image={from='a'}\noverlap=17"),
        ["12:9 video[1].overlap: video[1].overlap = 17 leaves nothing to render"]
    );
    assert_eq!(
        refused("image={from='a',frame=3}\noverlap=5"),
        ["12:9 video[1].overlap: `a` has not that many frames before"]
    );
    assert_eq!(
        refused("image={from='a'}\noverlap=5\nfps=24"),
        ["13:5 video[1].fps: video[1] carries on at another pace"]
    );
    let none = faults("[[video]]\nprompt='p'\nimage={from='p'}\noverlap=0");
    assert!(none.iter().any(|fault| fault.contains("overlap is out of range")), "{none:?}");
}

#[test]
fn a_sweep_makes_whole_chains() {
    let videos = chained(
        "[[video]]\nname='a'\nprompt='a {animal}'\nsweep={animal=['fox','cat'],seed=[1,2]}\n\
         [[video]]\nname='b'\nprompt='the {animal} sits {how}'\nimage={from='a'}\nsweep={how=['down','up']}\n\
         [[video]]\nprompt='{animal} {how}'\nimage={from='b'}\nsweep={animal=['it']}",
    );
    assert_eq!(videos.len(), 4 + 8 + 8);
    let from = |video| Some((video, None));
    assert_eq!(starts(&videos)[..4], [None; 4]);
    assert_eq!(starts(&videos)[4..12], [0, 0, 1, 1, 2, 2, 3, 3].map(from), "the last name changes fastest");
    assert_eq!(starts(&videos)[12..], [4, 5, 6, 7, 8, 9, 10, 11].map(from));
    let prompts: Vec<&str> = videos.iter().map(|video| video.prompt.as_str()).collect();
    assert_eq!(prompts[4..8], ["the fox sits down", "the fox sits up", "the fox sits down", "the fox sits up"]);
    assert_eq!(prompts[12..14], ["it down", "it up"], "its own name comes before that of its start");
    let swept = |video: usize| videos[video].swept.iter().collect::<Vec<_>>();
    assert_eq!(swept(11), [("animal", "cat"), ("how", "up")], "a seed is of one video alone");
    assert_eq!(swept(19), [("how", "up"), ("animal", "it")]);
    assert_eq!(videos[11].seed, 0);
    assert_eq!((videos[0].label(0), videos[11].label(11)), ("a (fox, 1)".into(), "b (cat, up)".into()));
    assert_eq!(videos[19].label(19), "video 19");
}

#[test]
fn chains_with_faults_are_told_all_at_once_with_their_lines() {
    assert_eq!(
        faults(
            "[[video]]\nname='a'\nprompt='p'\nframes=5\n[[video]]\nname='a'\nprompt='q'\nimage={from='a',frame=5}\n\
             [[video]]\nprompt='r'\nimage={from='aa'}\n[[video]]\nname='x'\nprompt='s'\nimage={from='y'}\n\
             [[video]]\nname='y'\nprompt='t'\nimage={from='x'}\n[[video]]\nname='z'\nprompt='u'\nimage={from='z'}\n\
             [[video]]\nprompt='{v}'\nimage={from='a'}"
        ),
        [
            "9:6 video[1].name: `a` is the name of two videos",
            "11:7 video[1].image: `a` has no frame 5",
            "14:14 video[2].image: no video is called `aa`",
            "18:7 video[3].image: video[3] needs a frame of itself",
            "26:7 video[5].image: video[5] needs a frame of itself",
            "28:9 video[6].prompt: `{v}` has no value",
        ]
    );
    for (lines, want) in [
        ("image={from=''}", "6:13 video[0].image.from: video[0].image.from cannot be a video's name"),
        (
            "image={from='a\\u0007b'}".replace('\'', "\"").as_str(),
            "6:13 video[0].image.from: video[0].image.from holds a control character",
        ),
        ("image={}", "6:7 video[0].image: video[0].image names no video"),
        ("image={form='a'}", "6:8 video[0].image.form: unknown key `form`"),
        ("image={from='a',frame='middle'}", "6:23 video[0].image.frame: video[0].image.frame is a text"),
        ("image={from='a',frame=-1}", "6:23 video[0].image.frame: video[0].image.frame is out of range"),
        ("image={from='a',frame=4097}", "6:23 video[0].image.frame: video[0].image.frame is out of range"),
        ("image=[{from='a'}]", "6:8 video[0].image: video[0].image is a table"),
        ("name=''", "6:6 video[0].name: video[0].name cannot be a video's name"),
        ("name=7", "6:6 video[0].name: video[0].name is a whole number"),
        ("name='b'\nsweep={name=['c']}", "7:8 video[0].sweep.name: `name` cannot be swept"),
        ("output='{name}'", "6:9 video[0].output: `{name}` has no value"),
    ] {
        assert_eq!(
            faults(&format!("[[video]]\nprompt='p'\n{lines}\n[[video]]\nname='a'\nprompt='q'")),
            [want],
            "{lines}"
        );
    }
    let defaults = faults("[defaults]\nimage={from='a'}\n[[video]]\nname='a'\nprompt='p'");
    assert_eq!(defaults[0], "5:7 defaults.image: defaults.image is a frame of a video");
    let swept = "[[video]]\nprompt='{name}'\noutput='{name}'\nsweep={name=['c','d']}";
    assert_eq!(read_videos(swept).unwrap().check(None).unwrap()[1].output, "d", "as it always was");
}

#[test]
fn a_model_without_first_frames_takes_no_chain_and_its_frames_are_counted() {
    let text = "[[video]]\nname='a'\nprompt='p'\n[[video]]\nprompt='q'\nimage={from='a',frame=81}";
    let checked = |info: &ModelInfo| lines(&read_videos(text).unwrap().check(Some(info)).unwrap_err());
    let beyond = "9:7 video[1].image: `a` has no frame 81";
    assert_eq!(checked(&info()), ["9:7 video[1].image: `m` takes no first frame", beyond]);
    assert_eq!(checked(&both()), [beyond]);
    let needs = ModelInfo { needs_image: true, ..both() };
    assert!(
        checked(&needs).contains(&"4:1 video[0]: video[0] has no image".to_owned()),
        "the first one has to start too"
    );
}

#[test]
fn a_fault_of_a_video_is_not_told_again_of_those_that_start_from_it() {
    let videos = "[[video]]\nname='a'\nprompt='{x}'\nsweep={y=[1]}\n[[video]]\nname='b'\nprompt='{y}'\nimage={from='a'}\n\
                  [[video]]\nprompt='{y}'\nimage={from='b'}";
    let lines: Vec<u32> = read_videos(videos).unwrap_err().iter().map(|fault| fault.at.unwrap().line).collect();
    assert_eq!(lines, [6, 7]);
}

#[test]
fn chains_cannot_swell() {
    let link = |n: usize, sweep: &str| {
        format!("[[video]]\nname='{}'\nprompt='{{n{n}}}'\nimage={{from='{n}'}}\nsweep={{n{n}={sweep}}}\n", n + 1)
    };
    let first = "[[video]]\nname='0'\nprompt='p'\n";
    let double: String = (0..40).map(|n| link(n, "[1,2]")).collect();
    let told = faults(&format!("{first}{double}"));
    assert!(told.len() == 1 && told[0].ends_with("more than 100000 videos"), "{told:?}");
    let long: String = (0..2_200).map(|n| link(n, "[1]")).collect();
    let told = faults(&format!("{first}{long}"));
    assert!(told.len() == 1 && told[0].contains("come to more than 64 MiB"), "{told:?}");
    let plain: String =
        (0..3_000).map(|n| format!("[[video]]\nname='{}'\nprompt='p'\nimage={{from='{n}'}}\n", n + 1)).collect();
    let videos = chained(&format!("{first}{plain}"));
    assert_eq!(starts(&videos)[3_000], Some((2_999, None)), "however long it is");
    assert!(matches!(videos[1].image, Some(ImageSource::Frame(_))));
}

/// A model that takes a last frame.
fn to_a_last() -> ModelInfo {
    ModelInfo { vae: wanfarm_types::VaeKind::Wan21, ..both() }
}

/// The videos whose frames each starts from and ends at.
fn between(videos: &[VideoRequest]) -> Vec<[Option<u32>; 2]> {
    videos.iter().map(|video| video.pictures().map(|picture| Some(picture?.frame()?.video))).collect()
}

#[test]
fn a_video_leads_from_one_to_another() {
    let read = |videos: &str| read_videos(videos).unwrap_or_else(|faults| panic!("{faults}"));
    let shots = "[[video]]\nprompt='{how}'\nimage={from='a'}\nlast_image={from='c',frame='first'}\n\
                 [[video]]\nname='c'\nprompt='{how}'\nsweep={how=['x','y'],seed=[1,2]}\n";
    let once = read(&format!("{shots}[[video]]\nname='a'\nprompt='p'")).check(Some(&to_a_last())).unwrap();
    assert_eq!(between(&once)[..4], [[Some(8), Some(4)], [Some(8), Some(5)], [Some(8), Some(6)], [Some(8), Some(7)]]);
    assert_eq!(once[2].prompt, "y");
    // Of two that are swept those belong together that agree.
    let each = format!("{shots}[[video]]\nname='a'\nprompt='p'\nsweep={{seed=[2,1,3]}}");
    let videos = read(&each).check(Some(&to_a_last())).unwrap();
    assert_eq!(between(&videos)[..4], [[Some(8), Some(5)], [Some(8), Some(7)], [Some(9), Some(4)], [Some(9), Some(6)]]);
    let same = "[[video]]\nname='a'\nprompt='p'\nsweep={seed=[1,2]}\n\
                [[video]]\nprompt='p'\nimage={from='a'}\nlast_image={from='a',frame='first'}";
    let videos = read(same).check(Some(&to_a_last())).unwrap();
    assert_eq!(between(&videos)[2..], [[Some(0), Some(0)], [Some(1), Some(1)]], "a loop of each");
    assert_eq!(crate::chains::needs(&videos)[2], [0]);
    let apart = each.replace("seed=[2,1,3]", "seed=[7]");
    assert_eq!(faults(&apart), ["7:12 video[0].last_image: no videos that video[0] needs belong together"]);
}

#[test]
fn a_last_frame_of_another_video_is_checked_as_one_in_a_file_is() {
    let refused = |lines: &str, info: &ModelInfo| {
        let videos = format!(
            "[[video]]\nprompt='p'\nimage={{from='a'}}\n{lines}\n[[video]]\nname='a'\nprompt='p'\nframes=5\n\
                              [[video]]\nname='b'\nprompt='p'\nwidth=320\nheight=576"
        );
        super::lines(&read_videos(&videos).and_then(|manifest| manifest.check(Some(info))).unwrap_err())
    };
    assert_eq!(refused("last_image={from='c'}", &to_a_last()), ["7:19 video[0].last_image: no video is called `c`"]);
    assert_eq!(
        refused("last_image={from='a',frame=5}", &to_a_last()),
        ["7:12 video[0].last_image: `a` has no frame 5"]
    );
    assert_eq!(
        refused("last_image={from='b'}", &to_a_last()),
        ["7:12 video[0].last_image: video[0].last_image has another shape than image"]
    );
    let known = ModelInfo { vae: wanfarm_types::VaeKind::Wan22, ..to_a_last() };
    assert_eq!(refused("last_image={from='a'}", &known), ["7:12 video[0].last_image: `m` takes no last frame"]);
    let alone = "[[video]]\nname='a'\nprompt='p'\n[[video]]\nprompt='q'\nlast_image={from='a'}";
    assert_eq!(faults(alone), ["9:12 video[1].last_image: video[1].last_image has no image beside it"]);
    assert_eq!(
        faults(
            "[[video]]\nname='a'\nprompt='p'\nimage='a.png'\nlast_image={from='b'}\n\
                [[video]]\nname='b'\nprompt='p'\nimage={from='a'}"
        ),
        ["8:12 video[0].last_image: video[0] needs a frame of itself"]
    );
    assert_eq!(
        faults("[[video]]\nprompt='p'\nsweep={last_image=[{from='a'}]}"),
        ["6:20 video[0].sweep.last_image: video[0].sweep.last_image is a table"]
    );
}

#[test]
fn a_chain_ends_in_a_film_that_each_may_be_called_after() {
    let text = "[[video]]\nname='a'\nprompt='{mood}'\nsweep={seed=[1,2],mood=['m','n']}\n\
                [[video]]\nname='b'\nprompt='{mood}'\nimage={from='a'}\nseed=7\njoin='films/{name}-{mood}-{index}.mp4'";
    let videos = chained(text);
    let joins: Vec<_> = videos.iter().map(|video| video.join.as_deref()).collect();
    let films = ["films/b-m-4.mp4", "films/b-n-5.mp4", "films/b-m-6.mp4", "films/b-n-7.mp4"].map(Some);
    assert_eq!((&joins[..4], &joins[4..]), (&[None; 4][..], &films[..]));
    let manifest = read_videos(text).unwrap();
    assert_eq!(crate::check_submission(&manifest.submission(String::new(), crate::Taken::Refuse, videos)), Ok(()));
}

#[test]
fn films_with_faults_are_told_with_their_lines() {
    let refused = |first: &str, second: &str| {
        let text = format!("[[video]]\nname='a'\nprompt='p'\n{first}\n[[video]]\nprompt='q'\n{second}");
        lines(&read_videos(&text).and_then(|manifest| manifest.check(Some(&both()))).unwrap_err())
    };
    let join = "image={from='a'}\njoin='film.mp4'";
    for (first, second, want) in [
        ("", "join='film.mp4'", "10:6 video[1].join: `film.mp4` cannot be a film"),
        ("", "image={from='a'}\njoin='film.mov'", "11:6 video[1].join: `film.mov` cannot be a film"),
        ("", "image={from='a'}\njoin='../film.mp4'", "11:6 video[1].join: `../film.mp4` cannot be a film"),
        ("", "image={from='a'}\njoin='{x}.mp4'", "11:7 video[1].join: `{x}` has no value"),
        ("", "image={from='a'}\noutput='o'\njoin='o.mp4'", "12:6 video[1].join: `o.mp4` cannot be a film"),
        ("formats=['png']", join, "11:6 video[1].join: film.mp4 cannot be joined: a makes no mp4 file"),
        ("fps=8", join, "11:6 video[1].join: film.mp4 cannot be joined: a has 8 frames per second, video 1 has 16"),
        (
            "",
            "image={from='a'}\nwidth=320\nheight=192\njoin='film.mp4'",
            "13:6 video[1].join: film.mp4 cannot be joined: a is 832x480, video 1 is 320x192",
        ),
    ] {
        assert_eq!(refused(first, second), [want]);
    }
    let twice =
        "[[video]]\nname='a'\nprompt='p'\n[[video]]\nprompt='q'\nimage={from='a'}\njoin='f.mp4'\nsweep={seed=[1,2]}";
    assert!(told(read_videos(twice).and_then(|manifest| manifest.check(None).map(|_| manifest)))[0].contains("f.mp4"));
}
