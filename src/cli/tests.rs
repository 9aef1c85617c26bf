//! The help of every command.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// Longest line of a help text, in characters.
const COLUMNS_MAX: usize = 100;
/// Words that begin a sentence which a reader has to turn round.
const BAD_BEGINNINGS: [&str; 6] = ["what", "who", "whose", "whoever", "whatever", "nobody"];

/// Calls `look` with each command and the words that a person types for it.
fn walk(command: &Command, typed: &str, look: &mut impl FnMut(&str, &Command)) {
    look(typed, command);
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        walk(inner, &format!("{typed} {}", inner.get_name()), look);
    }
}

/// As [`walk`], over all commands.
fn each_command(mut look: impl FnMut(&str, &Command)) {
    let mut cli = Cli::command();
    cli.build();
    walk(&cli, "tollgate", &mut look);
}

#[test]
fn no_line_of_a_help_is_too_long() {
    let mut commands = 0;
    each_command(|typed, command| {
        commands += 1;
        for help in [command.clone().render_help(), command.clone().render_long_help()] {
            for line in help.to_string().lines() {
                let length = line.chars().count();
                assert!(length <= COLUMNS_MAX, "{typed}: {length} characters: {line}");
            }
        }
    });
    assert!(commands > 20, "only {commands} commands");
}

/// An example is a line that begins as the command is typed, or ends with it in a pipe.
#[test]
fn each_command_has_an_example() {
    each_command(|typed, command| {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = after.split_once("Example").map_or("", |(_, examples)| examples);
        let shown = examples.lines().any(|line| line.starts_with("  ") && line.contains(typed));
        assert!(shown, "`{typed} --help` has no example: {after:?}");
    });
}

#[test]
fn no_sentence_of_a_help_begins_with_what_or_who() {
    each_command(|typed, command| {
        let about = command.get_about().map(ToString::to_string);
        let of_arguments = command
            .get_arguments()
            .flat_map(|argument| [argument.get_help(), argument.get_long_help()])
            .flatten()
            .map(ToString::to_string);
        for text in about.into_iter().chain(of_arguments) {
            for sentence in text.split(". ").flat_map(|part| part.split("; ")) {
                let first = sentence.split_whitespace().next().unwrap_or_default().to_lowercase();
                assert!(!BAD_BEGINNINGS.contains(&first.as_str()), "{typed}: {text}");
            }
        }
    });
}

/// Every argument is described, and the description is no sentence with a full stop at its end.
#[test]
fn each_argument_is_described() {
    each_command(|typed, command| {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !help.is_empty() && !help.ends_with('.'),
                "{typed} {}: {help:?}",
                argument.get_id()
            );
        }
    });
}
