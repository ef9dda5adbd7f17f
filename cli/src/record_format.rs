//! How `consume` prints a record: a text with `{names}`, or JSON.

use std::io::{self, Write};

use serde_json::{Value, json};
use wire::batch::Record;

/// For `--help`.
pub(crate) const HELP: &str =
    "Text for each record, with {partition} {offset} {timestamp} {key} {value} {topic}, \\n, \\t and {{";

/// A parsed `--format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordFormat(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
}

pub(crate) fn parse(text: &str) -> Result<RecordFormat, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        match next {
            '{' if after.starts_with('{') => {
                literal.push('{');
                rest = &after[1..];
            }
            '{' => {
                let (name, behind) = after.split_once('}').ok_or("a { without its }")?;
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
                pieces.push(named(name)?);
                rest = behind;
            }
            '\\' => {
                let escaped = after.chars().next().ok_or("a \\ at the end")?;
                literal.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    '0' => '\0',
                    '\\' => '\\',
                    other => return Err(format!("\\{other} has no meaning here")),
                });
                rest = &after[escaped.len_utf8()..];
            }
            other => {
                literal.push(other);
                rest = after;
            }
        }
    }
    pieces.push(Piece::Text(literal));
    Ok(RecordFormat(pieces))
}

fn named(name: &str) -> Result<Piece, String> {
    Ok(match name {
        "topic" => Piece::Topic,
        "partition" => Piece::Partition,
        "offset" => Piece::Offset,
        "timestamp" => Piece::Timestamp,
        "key" => Piece::Key,
        "value" => Piece::Value,
        _ => return Err(format!("{{{name}}} is none of topic, partition, offset, timestamp, key, value")),
    })
}

impl RecordFormat {
    pub(crate) fn write(
        &self,
        out: &mut impl Write,
        topic: &str,
        partition: u32,
        record: &Record,
    ) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text.as_bytes())?,
                Piece::Topic => out.write_all(topic.as_bytes())?,
                Piece::Partition => write!(out, "{partition}")?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Timestamp => write!(out, "{}", record.timestamp_ms)?,
                Piece::Key => out.write_all(record.key.as_deref().unwrap_or_default())?,
                Piece::Value => out.write_all(record.value.as_deref().unwrap_or_default())?,
            }
        }
        Ok(())
    }
}

/// One line. Bytes that are no UTF-8 come in hexadecimal, under a name that says so.
pub(crate) fn write_json(out: &mut impl Write, partition: u32, record: &Record) -> io::Result<()> {
    let mut object = json!({
        "partition": partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
    });
    for (name, bytes) in [("key", record.key.as_deref()), ("value", record.value.as_deref())] {
        match bytes.map(std::str::from_utf8) {
            None => object[name] = Value::Null,
            Some(Ok(text)) => object[name] = text.into(),
            Some(Err(_)) => object[format!("{name}_hex")] = hexadecimal(bytes.unwrap_or_default()).into(),
        }
    }
    if !record.headers.is_empty() {
        let header = |header: &wire::batch::Header| json!({ "key": header.key_text(), "value": header.value.as_deref().map(String::from_utf8_lossy) });
        object["headers"] = record.headers.iter().map(header).collect();
    }
    serde_json::to_writer(&mut *out, &object)?;
    out.write_all(b"\n")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            offset: 7,
            timestamp_ms: 9,
            key: None,
            value: Some(bytes::Bytes::from_static(b"\xff")),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_format_names_what_it_prints() {
        let mut out = Vec::new();
        let format = parse("{partition}:{offset}\\t{{{key}|{value}\\n").unwrap();
        format.write(&mut out, "t", 3, &record()).unwrap();
        assert_eq!(out, b"3:7\t{|\xff\n");
        assert!(parse("{nothing}").is_err() && parse("{value").is_err() && parse("\\").is_err());
    }

    #[test]
    fn json_shows_bytes_that_are_no_text_in_hexadecimal() {
        let mut out = Vec::new();
        write_json(&mut out, 3, &record()).unwrap();
        let object: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&object["value_hex"], &object["key"]), (&json!("ff"), &Value::Null));
    }
}
