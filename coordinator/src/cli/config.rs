//! Defaults of one's own: a small file with what would be typed daily. It comes after variables of the environment, and
//! these after what is typed: clap knows that order, once what the file holds has become the arguments' defaults.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use toml::de::{DeTable, DeValue};

use super::CliError;
use crate::defaults::{KEYS, PLACE};
use crate::exit::Exit;

/// The only key that takes a list.
const LIST: &str = "models";
/// Those whose value is a path.
const PATHS: [&str; 2] = ["models", "output"];

/// The options' values, by their names.
type Values = BTreeMap<String, Vec<String>>;

/// A line of the file that cannot be meant so.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: usize,
    why: String,
}

/// Makes what the file of this user holds the defaults of these commands' options.
///
/// # Errors
/// When there is a file and it cannot be read, or says something that no option takes.
pub(super) fn applied(command: Command) -> Result<Command, CliError> {
    let Some((path, text)) = found()? else { return Ok(command) };
    let home = dirs::home_dir();
    let values = read(&text, &command, home.as_deref()).map_err(|faults| {
        let mut words = String::new();
        for Fault { line, why } in faults {
            // Writing to a text cannot fail.
            let _ = write!(words, "{}{}:{line}: {why}", if words.is_empty() { "" } else { "\n" }, path.display());
        }
        CliError::new(Exit::Usage, words)
    })?;
    Ok(with(command, &values))
}

fn found() -> Result<Option<(PathBuf, String)>, CliError> {
    let named = env::var_os(PLACE).map(PathBuf::from);
    let places = match &named {
        Some(path) if path.as_os_str().is_empty() => return Ok(None),
        Some(path) => vec![path.clone()],
        None => places(env::var_os("XDG_CONFIG_HOME").map(PathBuf::from), dirs::home_dir(), dirs::config_dir()),
    };
    for path in places {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(Some((path, text))),
            // Nobody has to have one; the one that is named has to be there.
            Err(error) if named.is_none() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            }
            Err(error) => {
                let why = format!("cannot read {}: {error}; mend that, or set {PLACE} to nothing", path.display());
                return Err(CliError::new(Exit::Usage, why));
            }
        }
    }
    Ok(None)
}

/// Where the file is looked for: the first that is there is read.
fn places(xdg: Option<PathBuf>, home: Option<PathBuf>, system: Option<PathBuf>) -> Vec<PathBuf> {
    // As the specification has it, what is not absolute is not meant.
    let xdg = xdg.filter(|path| path.is_absolute()).or_else(|| home.map(|home| home.join(".config")));
    let mut places: Vec<PathBuf> = [xdg, system].into_iter().flatten().collect();
    places.dedup();
    places.into_iter().map(|folder| folder.join("wanfarm").join("config.toml")).collect()
}

/// What a file holds, each value as its option takes it.
fn read(text: &str, command: &Command, home: Option<&Path>) -> Result<Values, Vec<Fault>> {
    let line = |at: usize| 1 + text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count();
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let at = error.span().map_or(0, |span| span.start);
        return Err(vec![Fault { line: line(at), why: error.message().to_owned() }]);
    }
    let (mut values, mut faults) = (Values::new(), Vec::new());
    for (key, value) in table.into_inner() {
        let (at, key) = (line(key.span().start), key.into_inner().into_owned());
        match one(&key, value.into_inner(), command, home) {
            Ok(read) => _ = values.insert(key, read),
            Err(why) => faults.push(Fault { line: at, why: format!("{key}: {why}") }),
        }
    }
    faults.sort_by_key(|fault| fault.line);
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}

/// The value of one key.
fn one(key: &str, value: DeValue<'_>, command: &Command, home: Option<&Path>) -> Result<Vec<String>, String> {
    if !KEYS.iter().any(|(known, _)| *known == key) {
        let known: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
        return Err(format!("there is no such key; it may hold {}", known.join(", ")));
    }
    let text = |value: DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.into_owned()),
        DeValue::Integer(number) if number.radix() == 10 && !PATHS.contains(&key) => Ok(number.as_str().to_owned()),
        _ => Err("a text is wanted, as \"…\"".to_owned()),
    };
    let texts = match value {
        DeValue::Array(items) if key == LIST => items.into_iter().map(|item| text(item.into_inner())).collect(),
        value => text(value).map(|text| vec![text]),
    };
    let mut texts: Vec<String> = texts?;
    if PATHS.contains(&key) {
        texts = texts.into_iter().map(|text| path(text, home)).collect::<Result<_, _>>()?;
    }
    if let Some(argument) = argument(command, key) {
        texts.iter().try_for_each(|text| taken(argument, key, text))?;
    }
    Ok(texts)
}

/// A path that is the same wherever a command is typed; no shell has seen it.
fn path(text: String, home: Option<&Path>) -> Result<String, String> {
    let whole = match (text.strip_prefix("~/"), home) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(&text),
    };
    match whole.to_str() {
        Some(whole) if Path::new(whole).is_absolute() => Ok(whole.to_owned()),
        _ => Err(format!("{text:?} depends on where a command is typed; write the whole path, or ~/…")),
    }
}

/// The option of that name, of the first command that has it; a client alone does not have all.
fn argument<'c>(command: &'c Command, key: &str) -> Option<&'c Arg> {
    let own = command.get_arguments().find(|argument| argument.get_long() == Some(key));
    own.or_else(|| command.get_subcommands().find_map(|below| self::argument(below, key)))
}

/// Whether an option takes a value, as itself would say.
fn taken(argument: &Arg, key: &str, value: &str) -> Result<(), String> {
    let alone = argument.clone().required(false).global(false);
    let command = Command::new("config").no_binary_name(true).arg(alone);
    match command.try_get_matches_from([format!("--{key}={value}")]) {
        Ok(_) => Ok(()),
        Err(error) => {
            let words = error.to_string();
            let first = words.lines().next().unwrap_or_default();
            Err(first.trim_start_matches("error: ").replace(&format!(" for '--{key}"), " for '"))
        }
    }
}

/// The commands with these values as defaults of their options.
fn with(command: Command, values: &Values) -> Command {
    let default = |argument: Arg| {
        let value = argument.get_long().and_then(|long| values.get(long));
        match value {
            // They live as long as the commands, which is as long as this process.
            Some(value) => {
                let leaked = |text: &String| -> &'static str { Box::leak(text.clone().into_boxed_str()) };
                argument.required(false).default_values(value.iter().map(leaked))
            }
            None => argument,
        }
    };
    command.mut_args(default).mut_subcommands(|below| with(below, values))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::super::Cli;
    use super::*;

    fn tried(text: &str) -> Result<Values, String> {
        let told = |faults: Vec<Fault>| faults.iter().map(|fault| format!("{}: {}\n", fault.line, fault.why)).collect();
        read(text, &Cli::command(), Some(Path::new("/home/me"))).map_err(told)
    }

    fn typed(text: &str, line: &str) -> String {
        let command = with(Cli::command(), &tried(text).unwrap());
        let matches = command.try_get_matches_from(line.split(' ')).unwrap();
        format!("{:?}", Cli::from_arg_matches(&matches).unwrap())
    }

    #[test]
    fn a_file_takes_the_place_of_options_that_are_not_typed() {
        let text = "# mine\ncoordinator = \"studio-1\"\nmodels = [\"~/models\", \"/srv/models\"]\nmemory = \"48GiB\"\n\
                    threads = 3\noutput = \"/Volumes/renders\"\n";
        let status = typed(text, "coordinator status");
        assert!(status.contains("host: \"studio-1\""), "{status}");
        assert!(typed(text, "coordinator status --coordinator studio-2").contains("host: \"studio-2\""));
        let drain = typed(text, "coordinator workers drain x");
        assert!(drain.contains("host: \"studio-1\""), "{drain}");
    }

    #[cfg(feature = "farm")]
    #[test]
    fn what_is_typed_replaces_what_the_file_says() {
        let text = "models = [\"~/models\", \"/srv/models\"]\nmemory = \"48GiB\"\nthreads = 3\n";
        let worker = typed(text, "coordinator worker");
        let models = "models: [\"/home/me/models\", \"/srv/models\"]";
        assert!(worker.contains(models) && worker.contains("threads: Some(3)"), "{worker}");
        assert!(typed(text, "coordinator worker --models /tmp").contains("models: [\"/tmp\"]"));
        assert!(typed(text, "coordinator worker --memory 1GiB").contains("Size(1073741824)"));
        // Folders are of no use to a submission that is no dry run, and no fault of it.
        assert!(typed(text, "coordinator submit -").contains(models));
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let told = tried("coordinator = \"ftp://studio-1\"\n\nmodel = \"/srv\"\noutput = \"renders\"\n").unwrap_err();
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("1: coordinator: invalid value 'ftp://studio-1'"), "{told}");
        assert!(lines[0].contains("is not spoken here"), "{told}");
        assert!(lines[1].starts_with("3: model: there is no such key; it may hold coordinator, models, "), "{told}");
        assert!(lines[2].starts_with("4: output: \"renders\" depends on where a command is typed"), "{told}");
        assert!(tried("a = \n").unwrap_err().starts_with("1: "));
        for bad in
            ["models = 3", "coordinator = true", "coordinator = [\"a\"]", "models = [[\"/a\"]]", "color = \"red\""]
        {
            assert!(tried(bad).is_err(), "{bad}");
        }
        assert_eq!(tried("").unwrap(), Values::new());
    }

    #[test]
    fn the_file_is_where_the_system_has_such_files() {
        let path = |text: &str| Some(PathBuf::from(text));
        let linux = places(None, path("/home/me"), path("/home/me/.config"));
        assert_eq!(linux, [Path::new("/home/me/.config/wanfarm/config.toml")]);
        let xdg = places(path("/etc/me"), path("/home/me"), path("/etc/me"));
        assert_eq!(xdg, [Path::new("/etc/me/wanfarm/config.toml")]);
        assert_eq!(places(path("not/absolute"), path("/home/me"), None), linux);
        let mac = places(None, path("/Users/me"), path("/Users/me/Library/Application Support"));
        assert_eq!(mac.len(), 2);
        assert_eq!(mac[1], Path::new("/Users/me/Library/Application Support/wanfarm/config.toml"));
    }

    /// A client alone does not have all options; a whole build does.
    #[test]
    fn every_key_is_an_option_with_its_variable() {
        for (key, variable) in KEYS {
            let command = Cli::command();
            let found = argument(&command, key).map(|argument| argument.get_env().and_then(|name| name.to_str()));
            assert_eq!(found, (cfg!(feature = "farm") || found.is_some()).then_some(Some(variable)), "{key}");
        }
    }
}
