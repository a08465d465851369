//! The environment variables of the commands.
use std::collections::HashMap;

use crate::support::quire;

/// The help of a command.
pub fn help(command: &[String]) -> String {
    let arguments: Vec<_> = command.iter().map(String::as_str).chain(["--help"]).collect();
    String::from_utf8(quire(&arguments).output().unwrap().stdout).unwrap()
}

/// All commands below this one, as in `keys create`, and itself.
pub fn commands(command: &[String]) -> Vec<Vec<String>> {
    let help = help(command);
    let names = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = names.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let below = names.filter(|name| *name != "help").map(|name| [command, &[name.to_owned()]].concat());
    let below: Vec<_> = below.flat_map(|command| commands(&command)).collect();
    [vec![command.to_vec()], below].concat()
}

/// A flag, and the first sentence of its help.
type Meaning = (String, String);

/// The environment variables that the help of a command names, and their meanings.
fn variables(help: &str) -> Vec<(String, Meaning)> {
    // A flag is on a line of its own or together with its help.
    let lines: Vec<_> = help.lines().map(str::trim).collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| line.starts_with("--"));
    let entries = starts.map(|(index, line)| {
        let rest = lines[index + 1..].iter().take_while(|line| !line.starts_with('-') && !line.is_empty());
        rest.fold((*line).to_owned(), |entry, line| entry + "  " + line)
    });
    let variables = entries.filter_map(|entry| {
        let (before, after) = entry.split_once("[env:")?;
        let (flag, meaning) = before.split_once("  ")?;
        let variable = after.split(['=', ']']).next()?.trim().to_owned();
        // The help is wrapped.
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        let flag = flag.split(' ').next()?.to_owned();
        let sentence = meaning.trim().split([';', '[']).next()?.split(". ").next()?.trim().to_owned();
        Some((variable, (flag, sentence)))
    });
    variables.collect()
}

#[test]
fn no_environment_variable_has_two_meanings() {
    let commands = commands(&[]);
    let mut meanings: HashMap<String, Meaning> = HashMap::new();
    for command in &commands {
        for (variable, meaning) in variables(&help(command)) {
            let first = meanings.entry(variable.clone()).or_insert_with(|| meaning.clone());
            assert_eq!(*first, meaning, "{variable} of {command:?}");
        }
    }
    for variable in ["DATABASE_URL", "QUIRE_TLS_CERT", "QUIRE_CLIENT_TLS_CERT", "QUIRE_WORKSPACE", "QUIRE_LISTEN"] {
        assert!(meanings.contains_key(variable), "{variable} is in no help: {meanings:?}");
    }
}
