//! The commands. A value comes from its flag, else from `CORELOG_<NAME>`, else from the file that `--config` names, else
//! it is the default.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{bench, consume, demo, group, log, node, produce, serve, topic, tune};
use crate::exit::{self, Coded};
use crate::output::Output;

#[derive(Debug, Parser)]
#[command(name = "corelog", version, about = "A durable log on every core", after_help = exit::HELP)]
struct CommandLine {
    /// TOML file with values for flags, by the flags' names; flags and CORELOG_* win
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Run a broker until SIGTERM or Ctrl-C
    Serve(serve::Arguments),
    /// Start a broker in a temporary folder, load it, read all back, report, and leave nothing behind
    Demo(demo::Arguments),
    /// Make, list, describe, change and delete topics
    #[command(subcommand)]
    Topic(topic::Commands),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(group::Commands),
    /// Send lines as records
    Produce(produce::Arguments),
    /// Print records
    Consume(consume::Arguments),
    /// Measure a broker
    #[command(subcommand)]
    Bench(bench::Commands),
    /// Look at a stopped broker's files, verify them, repair them
    #[command(subcommand)]
    Log(log::Commands),
    /// Check this machine and measure its disk
    #[command(subcommand)]
    Tune(tune::Commands),
    /// What a broker says of itself
    #[command(subcommand)]
    Node(node::Commands),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Parses and runs. Wrong use ends the process here, with clap's text and code 2.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut command = CommandLine::command();
    if let Some(path) = config_file(std::env::args_os()) {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))
            .map_err(|error| Coded::error(exit::MISUSED, format!("{error:#}")))?;
        command = with_configuration(command, &text)
            .map_err(|problem| Coded::error(exit::MISUSED, format!("{}: {problem}", path.display())))?;
    }
    let matches = command.get_matches();
    let line = CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match line.command {
        Commands::Serve(arguments) => serve::run(&arguments),
        Commands::Demo(arguments) => demo::run(&arguments),
        Commands::Topic(command) => topic::run(&command),
        Commands::Group(command) => group::run(&command),
        Commands::Produce(arguments) => produce::run(&arguments),
        Commands::Consume(arguments) => consume::run(&arguments),
        Commands::Bench(command) => bench::run(&command),
        Commands::Log(command) => log::run(&command),
        Commands::Tune(command) => tune::run(&command),
        Commands::Node(command) => node::run(&command),
        Commands::Completions { shell } => {
            let mut command = CommandLine::command();
            // It panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "corelog", &mut script);
            Ok(Output::new().write_all(&script)?)
        }
    }
}

/// The file has to be read before the command line is: its values are the command line's defaults.
fn config_file(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut arguments = arguments.skip(1).take_while(|argument| argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(path) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            return Some(PathBuf::from(path));
        }
    }
    std::env::var_os("CORELOG_CONFIG").map(PathBuf::from)
}

/// Makes the file's values the defaults of the flags of the same names. Only flags that can be set by CORELOG_* too
/// are configuration; the rest belongs to one call.
fn with_configuration(mut command: Command, text: &str) -> Result<Command, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    for (name, value) in table {
        let flag = name.replace('_', "-");
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(choice) => choice.to_string(),
            _ => return Err(format!("{name} is neither a text, a number, nor true or false")),
        };
        let mut found = false;
        command = with_default(command, &flag, &value, &mut found);
        if !found {
            return Err(format!("{name} is no name of a setting; `corelog serve --help` has them all"));
        }
    }
    Ok(command)
}

fn with_default(command: Command, flag: &str, value: &str, found: &mut bool) -> Command {
    let is_it = |argument: &&clap::Arg| argument.get_long() == Some(flag) && argument.get_env().is_some();
    let id = command.get_arguments().find(is_it).map(|argument| argument.get_id().clone());
    let command = match id {
        Some(id) => {
            *found = true;
            command.mut_arg(id, |argument| argument.default_value(value.to_owned()))
        }
        None => command,
    };
    command.mut_subcommands(|subcommand| with_default(subcommand, flag, value, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(configuration: &str, arguments: &[&str]) -> String {
        let command = with_configuration(CommandLine::command(), configuration).unwrap();
        let matches = command.try_get_matches_from(arguments).unwrap();
        let line = CommandLine::from_arg_matches(&matches).unwrap();
        let Commands::Serve(serve) = line.command else { panic!("not serve") };
        serve.listen
    }

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        assert_eq!(listen("", &["corelog", "serve"]), "127.0.0.1:9092");
        assert_eq!(listen("listen = \"127.0.0.1:1\"", &["corelog", "serve"]), "127.0.0.1:1");
        let arguments = ["corelog", "serve", "--listen", "127.0.0.1:2"];
        assert_eq!(listen("listen = \"127.0.0.1:1\"\nshard_ports = 0", &arguments), "127.0.0.1:2");
    }

    #[test]
    fn a_name_that_is_no_setting_is_refused() {
        for text in ["lisen = 1", "help = true", "listen = [1]"] {
            assert!(with_configuration(CommandLine::command(), text).is_err(), "{text}");
        }
    }
}
