//! Texts that were never meant well: bounded work, bounded memory, no panic.

use proptest::prelude::*;

use super::*;

#[test]
fn sweeps_are_counted_before_they_are_expanded() {
    let list = (0..1000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let axes: Vec<String> =
        ["seed", "a", "b", "c", "d", "e", "f"].iter().map(|name| format!("{name}=[{list}]")).collect();
    let text = format!(
        "[job]\nname='j'\nmodel='m'\n[[video]]\nprompt='{{a}}{{b}}{{c}}{{d}}{{e}}{{f}}'\nsweep={{{}}}",
        axes.join(",")
    );
    assert_eq!(told(read(&text)), ["4:1 video[0]: more than 100000 videos"]);
}

#[test]
fn the_bound_holds_for_the_manifest_as_a_whole() {
    let seeds = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let half = format!("[[video]]\nprompt='p'\nsweep={{seed=[{}]}}\n", seeds(50_000));
    let text = format!("[job]\nname='j'\nmodel='m'\n{half}{}", half.replace("'p'", "'q'"));
    assert_eq!(read(&text).unwrap().videos(), 100_000);
    assert_eq!(
        told(read(&format!("{text}[[video]]\nprompt='one too many'"))),
        ["10:1 video[2]: more than 100000 videos"]
    );
}

#[test]
fn prompts_cannot_swell() {
    let long = "x".repeat(8000);
    let text = format!("[job]\nname='j'\nmodel='m'\n[[video]]\nprompt='{{a}}{{a}}'\nsweep={{a=['{long}']}}");
    assert_eq!(told(read(&text)), ["5:8 video[0].prompt: video[0].prompt is too long"]);
    let seeds = (0..9_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let text = format!("[job]\nname='j'\nmodel='m'\n[[video]]\nprompt='{long}'\nsweep={{seed=[{seeds}]}}");
    assert_eq!(told(read(&text)), ["4:1 video[0]: prompts and swept values come to more than 64 MiB"]);
}

#[test]
fn yaml_aliases_cannot_multiply() {
    let mut bomb = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let row = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("b{level}: &a{level} [{row}]\n");
    }
    let faults = Manifest::parse("m.yaml", Syntax::Yaml, &bomb, None).unwrap_err();
    assert!(faults.to_string().contains("more values than a manifest may"), "{faults}");
    for (text, why) in [
        ("a: &a [*a]", "this alias names what it stands in"),
        ("a: 1\n--- \nb: 2", "one document"),
        ("? [a]\n: 1", "a key is a text"),
        ("a: 1\na: 2", "this key stands twice"),
        ("a: !shell rm", "has no meaning"),
        ("", "the file is empty"),
        ("# nothing", "the file is empty"),
        ("a: [1, 2", ""),
        ("\"a\":1", ""),
    ] {
        let faults = Manifest::parse("m.yaml", Syntax::Yaml, text, None).unwrap_err();
        assert!(faults.iter().next().unwrap().why.contains(why), "{text}: {faults}");
    }
}

#[test]
fn nesting_is_bounded_in_every_syntax() {
    for depth in [40, 100, 10_000, 1_000_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        for (syntax, text) in [
            (Syntax::Toml, format!("a = {open}{close}")),
            (Syntax::Yaml, format!("a: {open}{close}")),
            (Syntax::Json, format!("{{\"a\": {open}{close}}}")),
            (Syntax::Yaml, "- ".repeat(depth)),
            (Syntax::Yaml, "? ".repeat(depth)),
            (Syntax::Toml, format!("{}a = 1", "a.".repeat(depth))),
            (Syntax::Toml, format!("[{}a]", "a.".repeat(depth))),
            (Syntax::Json, open.clone()),
            (Syntax::Json, "{\"a\":".repeat(depth)),
        ] {
            assert!(Manifest::parse("m", syntax, &text, None).is_err());
        }
    }
}

#[test]
fn syntax_is_told_with_its_place() {
    for (syntax, text, place) in [
        (Syntax::Toml, "[job]\nname = \nmodel = 'm'", "2:8"),
        (Syntax::Toml, "[job]\nname = 'a'\nname = 'b'", "3:1"),
        (Syntax::Toml, "[job]\nname = 'a\n", "2:10"),
        (Syntax::Json, "{\"job\": {},}", "1:11"),
        (Syntax::Json, "{\"job\": 1,\n \"job\": 2}", "2:2"),
        (Syntax::Json, "// no\n{}", "1:1"),
        (Syntax::Json, "", "1:1"),
        (Syntax::Yaml, "é: ü\n b: 1", "2:3"),
    ] {
        let told = told(Manifest::parse("m", syntax, text, None));
        assert!(told[0].starts_with(&format!("{place} : this is not {}", syntax.name())), "{text}: {told:?}");
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

#[test]
fn a_long_line_is_not_drawn() {
    let text =
        format!("{{\"job\": {{\"model\": \"m\"}}, \"video\": [{{\"prompt\": \"{}\", \"x\": 1}}]}}", "p".repeat(7000));
    let drawn = Manifest::parse("m.json", Syntax::Json, &text, None).unwrap_err().to_string();
    assert!(drawn.len() < 500, "{drawn}");
    assert!(drawn.contains("m.json:1:"), "{drawn}");
}

/// Pieces of manifests, so that arbitrary texts get past the first line.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[job]",
        "[[video]]",
        "[defaults]",
        "model",
        "prompt",
        "sweep",
        "zip",
        "seed",
        "guidance",
        "output",
        "formats",
        "image",
        "width",
        "=",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        "\"",
        "'m'",
        "\"{a}\"",
        "'{index:04}'",
        "&a ",
        "*a",
        "!!str ",
        "|",
        ">",
        "? ",
        "---",
        "%",
        "#",
        "1",
        "-1",
        "1e999",
        "0x",
        "nan",
        ".inf",
        "true",
        "~",
        "a",
        "é",
        "\t",
        "\u{feff}",
        "\\ud83d",
        "\\",
        "😀",
        "job:",
        "video:",
        "{\"job\":",
        "\r\n",
        "..",
        "\0",
    ];
    prop_oneof![8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)]
}

fn draws_without_panic(syntax: Syntax, text: &str) {
    if let Err(faults) = Manifest::parse("m", syntax, text, None) {
        assert!(faults.count() > 0);
        assert!(!faults.render(true).is_empty());
        assert!(faults.to_json()["faults"].is_array());
        for fault in faults.iter() {
            assert!(!fault.what.is_empty() && !fault.why.is_empty() && !fault.help.is_empty(), "{fault:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(pieces in proptest::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        for syntax in [Syntax::Toml, Syntax::Yaml, Syntax::Json] {
            draws_without_panic(syntax, &text);
        }
    }

    #[test]
    fn no_part_of_a_manifest_panics(start in 0..EXAMPLE.len(), len in 0..300usize, noise in any::<char>()) {
        let cut: String = EXAMPLE.chars().take(start).chain([noise]).chain(EXAMPLE.chars().skip(start + len)).collect();
        draws_without_panic(Syntax::Toml, &cut);
    }

    #[test]
    fn outputs_that_pass_stay_below_the_directory(output in "[a-cA-C./ {}0:\\\\-]{0,12}") {
        let text = format!("[job]\nname='j'\nmodel='m'\noutput='{output}'\n[[video]]\nprompt='p'");
        if let Ok(manifest) = read(&text) {
            let name = &manifest.check(None).unwrap()[0].output;
            let parts: Vec<_> = std::path::Path::new(name).components().collect();
            prop_assert!(parts.iter().all(|part| matches!(part, std::path::Component::Normal(_))), "{}", name);
            prop_assert!(!parts.is_empty());
        }
    }
}
