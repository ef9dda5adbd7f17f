//! Files of a broker that was killed or stopped, damaged one at a time behind its back. Then the real broker is started on
//! them: all that was acknowledged is served, or the start or the readers concerned are refused with an error that says
//! what and where. Never is anything lost in silence or served wrong, and never does a start hang or panic.

mod cases;
mod site;
mod states;
mod writes;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::broker::{BrokerProcess, Load, LoadOptions, Lost, Required, retry};
use crate::host::WorkFolder;
use crate::kill::refuse_a_second;
use crate::seed::Seed;
use cases::{Allowed, CASES, Case};
use site::Site;
use states::State;

/// One is enough for damage, and starts fastest.
const ONE_SHARD: &[&str] = &["--shards", "1"];
/// Producers of the load behind a case; below it are those of the states.
const NEXT_PRODUCER: u64 = 1_000;

pub(crate) fn run(parent: Option<&Path>, program: &Path, seed: u64) -> Result<()> {
    let folder = WorkFolder::create(parent, "damage")?;
    let mut seed = Seed::new(seed);
    let states = states::prepare(program, folder.path(), &mut seed)?;
    let (mut served, mut refused, mut failures) = (0, 0, Vec::new());
    for (number, (case, state)) in runs(&states).enumerate() {
        let name = format!("{}, broker {}", case.name, state.kind.name());
        match play(case, state, program, folder.path(), &mut seed.fork(number as u64)) {
            Ok(outcome) => {
                match &outcome {
                    Outcome::Served => served += 1,
                    Outcome::Told(_) | Outcome::Refused(_) => refused += 1,
                }
                println!("damage: {name}: {outcome}");
            }
            Err(error) => {
                println!("damage: {name}: FAILED: {error:#}");
                failures.push(name);
            }
        }
    }
    second_broker(&states[0], program, folder.path(), &seed)?;
    killed_starts(states.last().context("a state")?, program, folder.path(), &mut seed)?;
    ensure!(failures.is_empty(), "{} of the cases failed: {}", failures.len(), failures.join("; "));
    println!("damage: {} cases, {served} served in full, {refused} refused or told", served + refused);
    Ok(())
}

fn runs(states: &[State]) -> impl Iterator<Item = (&'static Case, &State)> {
    CASES.iter().flat_map(|case| {
        let fitting = states.iter().filter(|state| case.states.contains(&state.kind));
        fitting.map(move |state| (case, state))
    })
}

/// What a broker makes of damaged data.
enum Outcome {
    Served,
    /// It serves; readers of what is damaged get an error.
    Told(Vec<String>),
    /// It does not start, and says so.
    Refused(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Served => f.write_str("all served"),
            Self::Told(told) => write!(f, "readers told: {}", told.join("; ")),
            Self::Refused(words) => write!(f, "start refused: {words}"),
        }
    }
}

fn play(case: &Case, state: &State, program: &Path, folder: &Path, seed: &mut Seed) -> Result<Outcome> {
    let data = folder.join("case");
    states::copy(&state.data, &data)?;
    let site = Site::new(&data, &state.ledger)?;
    let may_lose = match case.allowed {
        Allowed::LastWriteLost => writes::acknowledged_by_the_last(&site)?,
        _ => Lost::new(),
    };
    (case.damage)(&site, seed).context("the damage could not be done")?;
    let outcome = judge(case, state, &data, program, folder, &may_lose)?;
    let is_allowed = match (case.allowed, &outcome) {
        (_, Outcome::Served) | (Allowed::Refused, _) => true,
        (Allowed::Served | Allowed::LastWriteLost, _) => false,
    };
    ensure!(is_allowed, "it should cost no record, and: {outcome}");
    Ok(outcome)
}

fn judge(
    case: &Case,
    state: &State,
    data: &Path,
    program: &Path,
    folder: &Path,
    may_lose: &Lost,
) -> Result<Outcome> {
    let mut broker = BrokerProcess::spawn_with(program, data, folder, ONE_SHARD)?;
    if let Some(words) = broker.ready_or_refused()? {
        return refusal(data, &words).map(Outcome::Refused);
    }
    let judged = state.ledger.judge(broker.address(), may_lose)?;
    if judged.told.is_empty() && case.allowed != Allowed::LastWriteLost {
        go_on(state, &broker).with_context(|| broker.words())?;
    }
    let words = broker.words();
    ensure!(!words.contains("panicked"), "the broker panicked: {words}");
    broker.stop()?;
    Ok(if judged.told.is_empty() { Outcome::Served } else { Outcome::Told(judged.told) })
}

/// What a refused start has to say: a file or folder of the data, and nothing of a panic.
fn refusal(data: &Path, words: &str) -> Result<String> {
    ensure!(!words.contains("panicked"), "the start panicked: {words}");
    // The first line only says with which folder and cores it begins.
    let said = words.lines().skip(1).find(|line| line.contains(&*data.to_string_lossy()));
    let Some(said) = said else { bail!("the start was refused without saying what is damaged: {words}") };
    Ok(said.trim().to_owned())
}

/// Served in full: then retries are known, and new batches are taken behind the old ones.
fn go_on(state: &State, broker: &BrokerProcess) -> Result<()> {
    let mut ledger = state.ledger.clone();
    let (retried, _) = retry(broker.address(), &state.sent)?;
    ledger.acknowledge(retried);
    let load = Load::start(&LoadOptions {
        address: broker.address().to_owned(),
        topics: ledger.topics(),
        producers: 1,
        first_producer: NEXT_PRODUCER,
        seed: Seed::new(1),
    });
    load.wait_for(100).context("appends after the damage")?;
    ledger.add(&load.stop()?);
    ledger.check(broker.address(), Required::All).context("after new appends")?;
    Ok(())
}

/// A second broker ends with an error; the first goes on under load as if it had not been there.
fn second_broker(state: &State, program: &Path, folder: &Path, seed: &Seed) -> Result<()> {
    let data = folder.join("case");
    states::copy(&state.data, &data)?;
    let mut ledger = state.ledger.clone();
    let mut broker = BrokerProcess::spawn_with(program, &data, folder, ONE_SHARD)?;
    broker.wait_until_ready()?;
    let load = Load::start(&LoadOptions {
        address: broker.address().to_owned(),
        topics: ledger.topics(),
        producers: 2,
        first_producer: NEXT_PRODUCER,
        seed: seed.clone(),
    });
    load.wait_for(100)?;
    refuse_a_second(program, &data, folder)?;
    load.wait_for(300).context("the first broker, after a second was refused")?;
    let sent = load.stop()?;
    ensure!(sent.refused == 0, "a second broker disturbed the first: {:?}", sent.first_refusal);
    ledger.add(&sent);
    ledger.check(broker.address(), Required::All)?;
    broker.stop()?;
    println!("damage: a second broker on the folder was refused, and the first not disturbed");
    Ok(())
}

/// Starts killed at random moments, five in a row, each with another number of shards.
fn killed_starts(state: &State, program: &Path, folder: &Path, seed: &mut Seed) -> Result<()> {
    const ROUNDS: u64 = 3;
    let data = folder.join("case");
    for round in 0..ROUNDS {
        states::copy(&state.data, &data)?;
        for start in 0..5 {
            let shards = if (start + round) % 2 == 0 { "2" } else { "1" };
            let broker = BrokerProcess::spawn_with(program, &data, folder, &["--shards", shards])?;
            sleep(Duration::from_millis(seed.below(400)));
            let words = broker.words();
            ensure!(!words.contains("panicked"), "a start panicked: {words}");
            broker.kill_9()?;
        }
        let mut broker = BrokerProcess::spawn_with(program, &data, folder, ONE_SHARD)?;
        broker.wait_until_ready().with_context(|| format!("round {round} of killed starts"))?;
        state.ledger.clone().check(broker.address(), Required::All)?;
        broker.stop()?;
    }
    println!("damage: {ROUNDS} times five starts killed in a row, with one and two shards: all served");
    Ok(())
}
