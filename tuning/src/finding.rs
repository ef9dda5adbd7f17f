//! What a check found.

use std::fmt;

use serde::Serialize;

/// How much a finding matters, from "as it should be" to "the broker cannot run".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Worth knowing; costs little.
    Note,
    /// Costs speed, or a promise that the broker would otherwise keep.
    Warning,
    /// The broker cannot run like this.
    Fatal,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Fatal => "fatal",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Stable, for scripts: `io-uring`, `memory-lock`.
    pub name: &'static str,
    /// What was found, in one line without a full stop.
    pub line: String,
    /// What it is for and what happens with the value found.
    pub explanation: &'static str,
    /// A command or a setting; nothing where nothing needs to be done.
    pub remedy: Option<&'static str>,
}

impl Finding {
    pub(crate) fn new(name: &'static str, explanation: &'static str, line: impl Into<String>) -> Self {
        Self { severity: Severity::Fine, name, line: line.into(), explanation, remedy: None }
    }

    /// The same, as something to be changed.
    pub(crate) fn hurts(mut self, severity: Severity, remedy: &'static str) -> Self {
        self.severity = severity;
        self.remedy = Some(remedy);
        self
    }
}

/// What a start prints: a line for each thing that will hurt, worst first, and nothing else.
pub fn start_lines(findings: &[Finding]) -> Vec<String> {
    let mut hurting: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity >= Severity::Warning).collect();
    hurting.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let line = |finding: &Finding| match finding.remedy {
        Some(remedy) => format!("{}: {}: {}; {remedy}", finding.severity, finding.name, finding.line),
        None => format!("{}: {}: {}", finding.severity, finding.name, finding.line),
    };
    hurting.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_prints_only_what_hurts_and_the_worst_first() {
        let findings = [
            Finding::new("a", "", "fine here"),
            Finding::new("b", "", "slow").hurts(Severity::Warning, "do b"),
            Finding::new("c", "", "small").hurts(Severity::Note, "do c"),
            Finding::new("d", "", "none").hurts(Severity::Fatal, "do d"),
        ];
        assert_eq!(start_lines(&findings), ["fatal: d: none; do d", "warning: b: slow; do b"]);
    }
}
