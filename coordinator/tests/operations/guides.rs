//! Every command line that the guides show is one that the program takes.

use crate::command_line::{assert_parses, repository};

const GUIDES: [&str; 2] = ["README.md", "deploy/README.md"];

/// Calls of the program in fenced shell blocks and between backticks.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = None;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fenced = if fenced.is_some() { None } else { Some(language == "sh") };
            continue;
        }
        match fenced {
            Some(true) => found.push(line.split(" #").next().unwrap_or_default().trim().to_owned()),
            Some(false) => {}
            None => found.extend(line.split('`').skip(1).step_by(2).map(|code| code.trim().to_owned())),
        }
    }
    found.retain(|line| line.starts_with("coordinator ") || line.starts_with("sudo -u _wanfarm coordinator "));
    // What stands for a choice is no command line.
    found.retain(|line| !line.contains(['|', '[', '…']));
    found
}

/// A word as a shell hands it on.
fn expanded(word: &str) -> String {
    word.strip_prefix("~/").map_or(word.to_owned(), |below| format!("/home/ann/{below}"))
}

/// The words of a line: what stands in quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(expanded)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn the_guides_show_what_the_program_takes() {
    for guide in GUIDES {
        let text = std::fs::read_to_string(repository().join(guide)).expect("guide");
        let commands = commands(&text);
        assert!(commands.len() >= 5, "{guide} shows {commands:?}");
        for line in commands {
            let words = words(&line).into_iter().skip_while(|word| word != "coordinator");
            assert_parses(&words.collect::<Vec<_>>(), guide);
        }
    }
}

#[test]
fn commands_are_found_in_blocks_and_in_sentences() {
    let text = "Run `coordinator status` or\n```sh\ncoordinator workers drain a   # why\nls\n```\n```toml\ncoordinator = 1\n```\n\
                `coordinator pause|resume`";
    assert_eq!(commands(text), ["coordinator status", "coordinator workers drain a"]);
}
