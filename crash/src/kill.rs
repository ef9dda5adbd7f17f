//! kill -9 under load, round after round on the same data folder. Some rounds also kill the recovery, again and
//! again, start a second broker on the folder, or stop cleanly instead.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::broker::{
    BrokerProcess, Connection, GroupLedger, Ledger, Load, LoadOptions, Required, Sent, retry,
};
use crate::clock::now_ns;
use crate::host::WorkFolder;
use crate::seed::Seed;

pub(crate) const TOPICS: [(&str, u32); 3] = [("orders", 4), ("events", 3), ("lone", 1)];
const PRODUCERS: u64 = 4;

pub(crate) fn run(parent: Option<&Path>, program: &Path, seed: u64, rounds: u64) -> Result<()> {
    let folder = WorkFolder::create(parent, "kill9")?;
    let data = folder.path().join("data");
    let mut seed = Seed::new(seed);
    let mut played = Played::default();
    for round in 0..rounds {
        let mut round_seed = seed.fork(round);
        let what = play_round(program, &data, folder.path(), round, &mut round_seed, &mut played)
            .with_context(|| format!("round {round}"))?;
        println!(
            "kill -9 round {round}: {what}; {} records acknowledged so far",
            played.ledger.acknowledged_records()
        );
        seed.next();
    }
    let broker = BrokerProcess::start(program, &data, folder.path())?;
    played.check(broker.address()).context("after the last round")?;
    broker.stop()
}

/// What was promised in all rounds, and what the last one sent.
#[derive(Default)]
struct Played {
    ledger: Ledger,
    groups: GroupLedger,
    sent: Sent,
}

impl Played {
    fn check(&mut self, address: &str) -> Result<()> {
        self.ledger.check(address, Required::All)?;
        self.groups.check(address, TOPICS[0].0).map(drop)
    }
}

fn play_round(
    program: &Path,
    data: &Path,
    scratch: &Path,
    round: u64,
    seed: &mut Seed,
    played: &mut Played,
) -> Result<String> {
    let mut starts_killed = 0;
    if round > 0 && seed.chance(40) {
        starts_killed = 1 + seed.below(5);
        for _ in 0..starts_killed {
            let starting = BrokerProcess::spawn(program, data, scratch)?;
            sleep(Duration::from_millis(seed.below(300)));
            starting.kill_9()?;
        }
    }
    let broker = BrokerProcess::start(program, data, scratch)?;
    played.check(broker.address())?;
    let Played { ledger, groups, sent: sent_before } = played;
    if round == 0 {
        create_topics(broker.address(), ledger)?;
    }
    let (retried, repeated) = retry(broker.address(), sent_before)?;
    let sent_again = retried.len();
    ledger.acknowledge(retried);
    if seed.chance(20) {
        refuse_a_second(program, data, scratch)?;
    }
    let load = Load::start(&LoadOptions {
        address: broker.address().to_owned(),
        topics: ledger.topics(),
        producers: PRODUCERS,
        first_producer: round * PRODUCERS,
        seed: seed.fork(1),
    });
    let group_load = groups.start(broker.address(), TOPICS[0].0, seed.fork(2), round)?;
    let load_ms = 200 + seed.below(1500);
    sleep(Duration::from_millis(load_ms));
    let is_clean = seed.chance(15);
    if is_clean {
        broker.stop()?
    } else {
        broker.kill_9()?
    }
    let sent = load.stop()?;
    groups.take(group_load)?;
    let (refused, reconnects) = (sent.refused, sent.reconnects);
    ledger.add(&sent);
    *sent_before = sent;
    let end = if is_clean { "SIGTERM" } else { "killed" };
    Ok(format!(
        "{starts_killed} starts killed, {end} after {load_ms} ms, {refused} refused, {reconnects} connections dropped, \
         {sent_again} unanswered and {repeated} answered batches of the round before sent again"
    ))
}

pub(crate) fn create_topics(address: &str, ledger: &mut Ledger) -> Result<()> {
    let mut connection = Connection::open(address)?;
    for (name, partitions) in TOPICS {
        let id = connection.create_topic(name, partitions)?;
        ledger.add_topic(name, id, partitions, now_ns());
    }
    Ok(())
}

pub(crate) fn refuse_a_second(program: &Path, data: &Path, scratch: &Path) -> Result<()> {
    let scratch = scratch.join("second");
    std::fs::create_dir_all(&scratch)?;
    let mut second = BrokerProcess::spawn(program, data, &scratch)?;
    let status = second.wait_for_end(Duration::from_secs(10)).context("a second broker on the folder")?;
    ensure!(!status.success(), "a second broker on the folder ended without an error");
    let words = second.words();
    ensure!(
        words.contains(&*data.to_string_lossy()) && words.contains("holds it"),
        "a second broker on the folder does not say who holds it: {words}"
    );
    ensure!(
        !second.words().contains("panicked"),
        "a second broker on the folder panicked: {}",
        second.words()
    );
    Ok(())
}
