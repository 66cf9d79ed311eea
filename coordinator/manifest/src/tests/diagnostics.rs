//! Faults as people read them, drawn; each case has its snapshot beside this file.

use super::*;

const CASES: [(&str, Syntax, &str); 8] = [
    (
        "toml",
        Syntax::Toml,
        "[job]\nname = 'j'\nmodel = 'm'\n[[video]]\n\tprompt = 'ü {colour}'\nstep = 3\n\
         [[video]]\nprompt = 'q'\noutput = 'x'\n[[video]]\nprompt = 'r'\noutput = 'X'\n",
    ),
    ("yaml", Syntax::Yaml, "job:\n  model: m\nvideo:\n- prompt: a circle\n  steps: many\n  fps: 0\n- frames: 17\n"),
    (
        "json",
        Syntax::Json,
        "{\n  \"job\": {\"model\": \"m\"},\n  \"video\": [{\"prompt\": \"p\", \"guidance\": {\"low\": 2}}]\n}\n",
    ),
    ("no_toml", Syntax::Toml, "[job]\nmodel = m\n"),
    ("no_yaml", Syntax::Yaml, "job:\n  model: m\n bad: 1\n"),
    ("no_json", Syntax::Json, "{\"job\": {\"model\": \"m\",}}"),
    (
        "cache",
        Syntax::Toml,
        "[job]\nmodel = 'm'\n[defaults]\ncache = { kind = 'magcache', treshold = 0.1, interval = 3 }\n[[video]]\nprompt = 'p'\n",
    ),
    ("twins", Syntax::Toml, "[job]\nmodel = 'm'\n[[video]]\nprompt = 'p'\nsweep = { seed = [1, 2, 1] }\n"),
];

#[test]
fn faults_are_drawn_in_their_lines() {
    for (name, syntax, text) in CASES {
        let faults = Manifest::parse(&format!("m.{}", syntax.name().to_lowercase()), syntax, text, None).unwrap_err();
        let drawn = faults.to_string();
        assert!(!drawn.contains('\u{1b}') && faults.render(true).contains('\u{1b}'), "{drawn}");
        insta::assert_snapshot!(name, drawn);
    }
}
