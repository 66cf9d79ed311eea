//! The launchd daemons: property lists with the keys that the guide's promises rest on.

use plist::{Dictionary, Value};

use crate::command_line::{assert_parses, deploy};

/// Keys that may stand in a daemon's file (launchd.plist(5)); launchd ignores a misspelt one without a word.
const KNOWN: [&str; 13] = [
    "AbandonProcessGroup",
    "EnvironmentVariables",
    "ExitTimeOut",
    "KeepAlive",
    "Label",
    "ProcessType",
    "ProgramArguments",
    "RunAtLoad",
    "SoftResourceLimits",
    "StandardErrorPath",
    "StandardOutPath",
    "ThrottleInterval",
    "UserName",
];

fn daemons() -> Vec<(String, Dictionary)> {
    let folder = std::fs::read_dir(deploy().join("launchd")).expect("deploy/launchd");
    let files = folder.map(|entry| entry.expect("entry").path());
    let read = |path: std::path::PathBuf| {
        let stem = path.file_stem().expect("name").to_str().expect("UTF-8").to_owned();
        (stem, Value::from_file(&path).expect("a property list").into_dictionary().expect("a dictionary"))
    };
    files.map(read).collect()
}

#[test]
fn daemons_start_headless_stay_up_and_leave_no_orphans() {
    let daemons = daemons();
    assert_eq!(daemons.len(), 2);
    for (name, daemon) in daemons {
        let key = |key: &str| daemon.get(key).unwrap_or_else(|| panic!("{name} has no {key}"));
        for known in daemon.keys() {
            assert!(KNOWN.contains(&known.as_str()), "{name}: launchd knows no {known}");
        }
        assert_eq!(key("Label").as_string(), Some(&*name), "the file is found by its label");
        for (wanted, value) in [("RunAtLoad", true), ("KeepAlive", true), ("AbandonProcessGroup", false)] {
            assert_eq!(key(wanted).as_boolean(), Some(value), "{name}: {wanted}");
        }
        let number = |of: &str| key(of).as_unsigned_integer().unwrap_or_else(|| panic!("{name}: {of}"));
        // Clean within 5 s, and some time to spare before it is killed.
        assert!((10..=60).contains(&number("ExitTimeOut")), "{name}");
        assert!(
            number("ThrottleInterval") >= 10,
            "{name}: a program that cannot start must not be started all the time"
        );
        let user = key("UserName").as_string().expect("a name");
        assert_ne!(user, "root", "{name} needs no privileges");
        for log in ["StandardOutPath", "StandardErrorPath"] {
            assert!(key(log).as_string().is_some_and(|path| path.starts_with('/')), "{name}: {log}");
        }
    }
}

#[test]
fn daemons_run_command_lines_that_the_program_takes() {
    for (name, daemon) in daemons() {
        let arguments = daemon.get("ProgramArguments").and_then(Value::as_array).expect("ProgramArguments");
        let arguments: Vec<String> =
            arguments.iter().map(|argument| argument.as_string().expect("a text").to_owned()).collect();
        // A wrapper such as caffeinate would keep the Mac awake for as long as the daemon lives.
        assert!(arguments[0].starts_with('/') && arguments[0].ends_with("/coordinator"), "{name}: {}", arguments[0]);
        assert_parses(&arguments, &name);
        assert!(arguments.iter().any(|argument| argument == "--data"), "{name}: a daemon has no home to keep data in");
        let verb = name.rsplit('.').next().expect("a name");
        assert_eq!(arguments[1], if verb == "coordinator" { "serve" } else { verb });
        let environment = daemon.get("EnvironmentVariables").and_then(Value::as_dictionary).expect("an environment");
        for variable in environment.keys() {
            let known = ["WANFARM_MEMBERSHIP", "WANFARM_LOG", "WANFARM_LOG_FILE"];
            assert!(known.contains(&variable.as_str()), "{name}: {variable}");
        }
        assert!(environment.contains_key("WANFARM_MEMBERSHIP"), "{name}: a daemon has no home to keep its key in");
    }
}

/// `[owner:group]`, then mode, count, size, when and flags, as newsyslog.conf(5) has them.
#[test]
fn the_logs_of_all_daemons_are_rotated_and_nobody_holds_them_open() {
    let rules = std::fs::read_to_string(deploy().join("newsyslog/wanfarm.conf")).expect("rules");
    let rule: Vec<&str> =
        rules.lines().find(|line| !line.starts_with('#')).expect("a rule").split_whitespace().collect();
    let [pattern, owner, mode, count, size, "*", flags] = rule[..] else { panic!("{rule:?}") };
    let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{text:?} in {rule:?}"));
    assert!((number(mode), number(count), number(size)) > (0, 0, 0) && flags == "GN");
    let (folder, extension) = pattern.split_once("*.").expect("a pattern");
    for (name, daemon) in daemons() {
        let text = |value: Option<&Value>| value.and_then(Value::as_string).expect("a text").to_owned();
        let environment = daemon.get("EnvironmentVariables").and_then(Value::as_dictionary).expect("an environment");
        let log = text(environment.get("WANFARM_LOG_FILE"));
        assert!(log.starts_with(folder) && log.ends_with(extension), "{name}: {log} is not among {pattern}");
        assert_eq!(owner, format!("{}:", text(daemon.get("UserName"))), "{name}");
        for held in ["StandardOutPath", "StandardErrorPath"] {
            let held = text(daemon.get(held));
            assert!(!held.ends_with(extension), "{name}: launchd would write to {held} after it was moved away");
        }
    }
}
