//! What a command says: records, reports and JSON on stdout, everything else on stderr.
//!
//! Stdout is what was asked for, so a write that fails ends the command. A reader that has gone, as `head` has when it has
//! enough, ends it as a signal would, without a word and with code 141. Stderr is not: what cannot be said is left out.

use std::fmt;
use std::io::{self, StdoutLock, Write};

use serde::Serialize;

/// Stdout took no more. Tells it from a connection that broke, which is an error of another kind.
#[derive(Debug)]
pub(crate) struct OutputError(io::Error);

impl OutputError {
    /// Whoever reads has enough.
    pub(crate) fn reader_is_gone(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }

    /// The error that a write to [`Output`] gave, wherever it was passed on.
    pub(crate) fn of<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot write to stdout: {}", self.0)
    }
}

impl std::error::Error for OutputError {}

/// Stdout. Each line goes out as it ends.
pub(crate) struct Output(StdoutLock<'static>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(io::stdout().lock())
    }

    /// For many lines. Has to be flushed by hand: what is dropped with it says nothing of its failure.
    pub(crate) fn buffered() -> io::BufWriter<Self> {
        io::BufWriter::with_capacity(256 << 10, Self::new())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(from_stdout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(from_stdout)
    }
}

fn from_stdout(error: io::Error) -> io::Error {
    match error.kind() {
        // Whoever writes tries again.
        io::ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, OutputError(error)),
    }
}

/// A line on stdout.
pub(crate) fn say(line: impl fmt::Display) -> io::Result<()> {
    writeln!(Output::new(), "{line}")
}

/// One JSON value and a line end on stdout.
pub(crate) fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(say(text)?)
}

/// A line on stderr.
pub(crate) fn tell(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
