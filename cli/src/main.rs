//! `corelog`, the one binary: parses the command line and calls the libraries.
//!
//! | module | what it is |
//! |---|---|
//! | `command_line` | the commands and the order in which a value is looked for |
//! | `commands` | one file a family of commands |
//! | `connection` | the broker that a client command talks to |
//! | `exit` | exit codes, and errors that carry one |
//! | `output` | stdout, whose failures end a command, and stderr, whose do not |
//! | `progress` | the line on stderr while something takes long |
//! | `server_log` | what `serve` says, without ever making a shard wait |
//! | `quantity`, `start_position`, `record_format` | values on the command line |
//!
//! Nothing here runs on a shard, but for the few lines of `serve` that ask a shard to stop.

#![deny(unsafe_code)]
// What is said goes through `output` or `server_log`: these macros panic where nobody reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod command_line;
mod commands;
mod connection;
mod exit;
mod interrupted;
mod output;
mod progress;
mod quantity;
mod record_format;
mod server_log;
mod start_position;

fn main() -> std::process::ExitCode {
    exit::code_of(command_line::run())
}
