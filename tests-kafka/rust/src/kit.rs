//! What the checks share: the records, what is expected of them, and the line of each check, as in the Python programs'
//! `kit.py`.

use std::cell::Cell;
use std::error::Error;
use std::fmt::Debug;
use std::process::exit;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub(crate) const PARTITIONS: i32 = 4;
pub(crate) const COUNT: usize = 2000;
pub(crate) const PER_PARTITION: i64 = (COUNT / PARTITIONS as usize) as i64;
const CHECK_TIME_MAX: Duration = Duration::from_secs(60);
/// For what the broker does in its own time.
const UNTIL_TIME_MAX: Duration = Duration::from_secs(30);

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// What is produced; `offset` is not used then. And what came back.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) time_ms: i64,
}

pub(crate) struct Kit {
    pub(crate) bootstrap: String,
    client: &'static str,
    left_out: Vec<String>,
    only: String,
    nonce: u128,
    names: Cell<u32>,
    first_time_ms: i64,
    failed: Cell<u32>,
}

impl Kit {
    pub(crate) fn new(client: &'static str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let mut kit = Kit {
            bootstrap: String::new(),
            client,
            left_out: Vec::new(),
            only: String::new(),
            nonce: now.as_millis() % 1_000_000_000,
            names: Cell::new(0),
            // An hour ago: event times that are neither in the future nor old enough for retention.
            first_time_ms: (now.as_secs() as i64 - 3600) * 1000,
            failed: Cell::new(0),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| misused(&name));
            match name.as_str() {
                "--bootstrap" => kit.bootstrap = value,
                "--without" => kit.left_out = value.split(',').map(str::to_owned).collect(),
                "--check" => kit.only = value,
                _ => misused(&name),
            }
        }
        kit
    }

    /// Of a topic or a group that nobody has.
    pub(crate) fn name(&self, purpose: &str) -> String {
        self.names.set(self.names.get() + 1);
        format!("kit-{}-{purpose}-{:09}-{}", self.client, self.nonce, self.names.get())
    }

    /// The number i goes to partition i modulo `PARTITIONS`, one record a second of event time.
    pub(crate) fn record(&self, number: usize) -> Record {
        Record {
            partition: number as i32 % PARTITIONS,
            offset: number as i64 / i64::from(PARTITIONS),
            key: Some(format!("key-{number}").into_bytes()),
            value: Some(format!("value-{number}-{}", "x".repeat(number * 7 % 300)).into_bytes()),
            headers: vec![
                ("number".to_owned(), Some(number.to_string().into_bytes())),
                ("empty".to_owned(), Some(Vec::new())),
            ],
            time_ms: self.first_time_ms + number as i64 * 1000,
        }
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        (0..COUNT).map(|number| self.record(number)).collect()
    }

    /// Of the record at this place.
    pub(crate) fn time_ms_of(&self, partition: i32, offset: i64) -> i64 {
        self.record((offset * i64::from(PARTITIONS)) as usize + partition as usize).time_ms
    }

    /// Wants every record once and in order, from `first_offset` of each partition.
    pub(crate) fn verify(&self, reads: &[Record], first_offset: i64) -> Outcome {
        let mut next = [first_offset; PARTITIONS as usize];
        for read in reads {
            let offset = &mut next[read.partition as usize];
            let expected = self.record(*offset as usize * PARTITIONS as usize + read.partition as usize);
            same(&format!("the record {}@{offset}", read.partition), read, &expected)?;
            *offset += 1;
        }
        same("the ends of the partitions", &next, &[PER_PARTITION; PARTITIONS as usize])
    }

    /// Runs a check, unless it is left out, and prints its line.
    pub(crate) async fn check(&self, tag: &str, name: &str, check: impl Future<Output = Outcome>) {
        if self.left_out.iter().any(|left_out| left_out == tag) || !name.contains(&self.only) {
            return;
        }
        let started = Instant::now();
        let outcome = tokio::time::timeout(CHECK_TIME_MAX, check)
            .await
            .unwrap_or_else(|_| Err(format!("not done within {CHECK_TIME_MAX:?}").into()));
        match outcome {
            Ok(()) => println!("ok     {}: {name} ({:.1} s)", self.client, started.elapsed().as_secs_f32()),
            Err(error) => {
                self.failed.set(self.failed.get() + 1);
                let text: Vec<String> = error.to_string().split_whitespace().map(str::to_owned).collect();
                println!("FAILED {}: {name}: {:.400}", self.client, text.join(" "));
            }
        }
    }

    pub(crate) fn end(&self) -> ! {
        exit(i32::from(self.failed.get() > 0))
    }
}

fn misused(argument: &str) -> ! {
    eprintln!("{argument}: unknown, or it needs a value");
    exit(2)
}

pub(crate) fn same<T: PartialEq + Debug + ?Sized>(what: &str, found: &T, expected: &T) -> Outcome {
    if found == expected {
        return Ok(());
    }
    let text = |value: &T| format!("{value:?}").chars().take(150).collect::<String>();
    Err(format!("{what}: {} instead of {}", text(found), text(expected)).into())
}

/// Wants a request to have been refused with this code.
pub(crate) fn refused<T: Debug>(
    what: &str,
    outcome: Result<T, RDKafkaErrorCode>,
    code: RDKafkaErrorCode,
) -> Outcome {
    same(what, &outcome.map_err(Some).map_or_else(|code| code, |_| None), &Some(code))
}

/// The code in an error of the client's.
pub(crate) fn code_of(error: KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

/// Waits for what the broker does in its own time.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> Outcome<bool>) -> Outcome {
    let end = Instant::now() + UNTIL_TIME_MAX;
    while !condition().await? {
        if Instant::now() > end {
            return Err(format!("not within {UNTIL_TIME_MAX:?}: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
