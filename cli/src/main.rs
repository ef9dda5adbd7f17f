//! `corelog`, the one binary: parses the command line and calls the libraries.
//!
//! | module | what it is |
//! |---|---|
//! | `command_line` | the commands and the order in which a value is looked for |
//! | `commands` | one file a family of commands |
//! | `connection` | the broker that a client command talks to |
//! | `exit` | exit codes, and errors that carry one |
//! | `progress` | the line on stderr while something takes long |
//! | `quantity`, `start_position`, `record_format` | values on the command line |
//!
//! Nothing here runs on a shard, but for the few lines of `serve` that ask a shard to stop.

#![deny(unsafe_code)]

mod command_line;
mod commands;
mod connection;
mod exit;
mod progress;
mod quantity;
mod record_format;
mod start_position;

fn main() -> std::process::ExitCode {
    exit::code_of(command_line::run())
}
