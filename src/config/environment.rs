//! Variables: where they come from, which are known, and how they reach a command.

use std::{collections::BTreeMap, ffi::OsStr};

use clap::{
    Arg, Args, Command, FromArgMatches, builder::Resettable, error::ContextKind, error::ContextValue,
};

use super::{Config, ConfigError};

/// Names and values. A blank value counts as unset.
pub type Variables = BTreeMap<String, String>;

const PREFIX: &str = "SWITCHBOARD_";
/// `APP_ENV` under the name that Node programs use.
const ALIAS: (&str, &str) = ("APP_ENV", "NODE_ENV");

/// The process's variables over those of `.env` (in this folder or one above).
///
/// # Errors
/// [`ConfigError::File`] when there is a `.env` that cannot be read.
pub fn process_variables() -> Result<Variables, ConfigError> {
    // A line's text is left out of the message: it may hold a secret.
    let unreadable = |error: dotenvy::Error| match error {
        dotenvy::Error::LineParse(_, at) => {
            ConfigError::File(format!("a line cannot be read (near column {at})"))
        }
        other => ConfigError::File(other.to_string()),
    };
    let mut variables = match dotenvy::dotenv_iter() {
        Ok(lines) => lines.collect::<Result<Variables, _>>().map_err(unreadable)?,
        Err(error) if error.not_found() => Variables::new(),
        Err(error) => return Err(unreadable(error)),
    };
    let process =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    variables.extend(process.filter(|(_, value)| !value.trim().is_empty()));
    Ok(variables)
}

/// Every variable that is read, the hosts' own among them.
pub fn known_names() -> Vec<String> {
    let mut names: Vec<String> = command().get_arguments().filter_map(variable).collect();
    names.push(ALIAS.1.to_owned());
    names
}

/// The variables that people set: all known ones but those that hosts set by themselves.
pub fn documented_names() -> Vec<String> {
    let command = command();
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(variable).collect()
}

/// Gives a command and its subcommands the values of `variables`: each becomes the default of the flag that names
/// it, so that a flag given by hand still wins. Call it before parsing.
pub fn apply(command: Command, variables: &Variables) -> Command {
    let command = command.mut_args(|arg| match variable(&arg) {
        Some(name) => with_value(arg, &name, variables),
        None => arg,
    });
    let subcommands: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    subcommands
        .iter()
        .fold(command, |command, name| command.mut_subcommand(name, |sub| apply(sub, variables)))
}

fn with_value(arg: Arg, name: &str, variables: &Variables) -> Arg {
    let set = |name: &str| variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let value = set(name).or_else(|| if name == ALIAS.0 { set(ALIAS.1) } else { None });
    let help = format!("{} [env: {name}]", arg.get_help().map(ToString::to_string).unwrap_or_default());
    // clap itself no longer looks at the process, where a blank would count as a value.
    let arg = arg.env(Resettable::Reset).help(help);
    match value {
        // Hidden, since help would print it.
        Some(value) => arg.default_value(value.to_owned()).hide_default_value(true).required(false),
        None => arg,
    }
}

fn variable(arg: &Arg) -> Option<String> {
    arg.get_env().and_then(OsStr::to_str).map(str::to_owned)
}

fn command() -> Command {
    Config::augment_args(Command::new("switchboard").no_binary_name(true))
}

/// Reads a [`Config`] from variables alone.
pub(super) fn parse(variables: &Variables) -> Result<Config, ConfigError> {
    let matches = apply(command(), variables).try_get_matches_from([""; 0]).map_err(explain)?;
    Config::from_arg_matches(&matches).map_err(explain)
}

/// clap speaks of flags (`--port <PORT>`) and repeats values; people set variables, and values may be secrets.
fn explain(error: clap::Error) -> ConfigError {
    let name = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.split(['<', '>']).nth(1).unwrap_or(flag).to_owned(),
        _ => "settings".to_owned(),
    };
    let expected =
        std::error::Error::source(&error).map_or_else(|| error.kind().to_string(), ToString::to_string);
    ConfigError::Invalid { name, expected }
}

/// A name of ours that is none is a slip: the setting it was meant for would silently stay unset.
pub(super) fn refuse_unknown(variables: &Variables) -> Result<(), ConfigError> {
    let known = known_names();
    let unknown = |(name, value): &(&String, &String)| {
        name.to_ascii_uppercase().starts_with(PREFIX)
            && !known.contains(name)
            && !from_kubernetes(name, value)
    };
    let Some((name, _)) = variables.iter().find(unknown) else { return Ok(()) };
    let upper = name.to_ascii_uppercase();
    let nearest =
        known.iter().min_by_key(|candidate| distance(&upper, candidate)).cloned().unwrap_or_default();
    Err(ConfigError::Unknown { name: name.clone(), nearest })
}

/// Kubernetes describes a service named `switchboard` to every pod in variables that look like ours.
fn from_kubernetes(name: &str, value: &str) -> bool {
    let described =
        ["SWITCHBOARD_SERVICE_", "SWITCHBOARD_PORT_"].iter().any(|prefix| name.starts_with(prefix));
    described || (name == "SWITCHBOARD_PORT" && value.contains("://"))
}

/// How many characters must be added, removed or changed to turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_characters() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("KEYS", "KEY", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
