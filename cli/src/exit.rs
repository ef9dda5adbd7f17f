//! How the process ends.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; of `log inspect`, `verify` and `repair`: there is damage |
//! | 2 | the command line or the configuration makes no sense |
//! | 3 | the broker cannot be reached, or did not answer in time |
//! | 4 | the broker refused: no such topic, wrong setting, topic exists |
//! | 5 | records that were read are damaged |
//! | 130 | ended by Ctrl-C |
//! | 141 | ended because whoever read stdout had enough; as a shell reports SIGPIPE |

use std::fmt;
use std::process::ExitCode;

use corelog_client::{ClientError, ErrorCode};

use crate::output::{OutputError, tell};

pub(crate) const FAILED: u8 = 1;
pub(crate) const MISUSED: u8 = 2;
pub(crate) const UNREACHABLE: u8 = 3;
pub(crate) const REFUSED: u8 = 4;
pub(crate) const DAMAGED: u8 = 5;
pub(crate) const INTERRUPTED: u8 = 130;
pub(crate) const READER_GONE: u8 = 141;

/// For `--help`.
pub(crate) const HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 broker not reached, \
     4 refused by the broker, 5 damaged records read, 130 ended by Ctrl-C, 141 nobody read stdout any more.";

/// An error that decides the exit code.
#[derive(Debug)]
pub(crate) struct Coded {
    code: u8,
    text: String,
}

impl Coded {
    pub(crate) fn error(code: u8, text: impl Into<String>) -> anyhow::Error {
        Self { code, text: text.into() }.into()
    }
}

impl fmt::Display for Coded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Coded {}

/// Says what went wrong, once, on stderr.
pub(crate) fn code_of(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.chain().find_map(OutputError::of).is_some_and(OutputError::reader_is_gone) {
        return ExitCode::from(READER_GONE);
    }
    tell(format_args!("corelog: {error:#}"));
    let code = error.chain().find_map(|cause| {
        let coded = cause.downcast_ref::<Coded>().map(|coded| coded.code);
        coded.or_else(|| cause.downcast_ref::<ClientError>().map(code_of_client_error))
    });
    ExitCode::from(code.unwrap_or(FAILED))
}

fn code_of_client_error(error: &ClientError) -> u8 {
    match error {
        ClientError::Refused { code: ErrorCode::CorruptLog, .. } => DAMAGED,
        ClientError::Refused { .. }
        | ClientError::NoSuchTopic { .. }
        | ClientError::NoSuchPartition { .. } => REFUSED,
        ClientError::TooLarge { .. } => REFUSED,
        ClientError::TimedOut { .. } | ClientError::Disconnected { .. } => UNREACHABLE,
        ClientError::Damaged { .. } => DAMAGED,
        ClientError::Invalid { .. } => MISUSED,
        _ => FAILED,
    }
}
