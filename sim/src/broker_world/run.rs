//! One seed: lives and crashes, then a quiet end that must come, then the verdict, a last crash, and the verdict again.

use runtime::sim::{ProcessId, Unflushed, World};

use super::clients::{Outside, list_topics, new_client};
use super::consuming::Reader;
use super::machine::{FIRST_SHARD_PORT, Life};
use super::plan::{Crashes, Plan};
use super::voice;
use corelog_client::StartAt;

/// No life, and no end, takes so many polls unless something waits for what never comes.
const STEPS_MAX: u64 = 3_000_000;
/// A life is crashed after at most so many polls; a third of them in the middle of their start.
const LIFE_STEPS_MAX: u64 = 6_000;
const START_STEPS_MAX: u64 = 400;
/// Between two disasters.
const DISASTER_STEPS_MAX: u64 = 1_500;
/// A full disk has at most so many bytes left.
const LEFT_BYTES_MAX: u64 = 300_000;

/// What a seed came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Differs where two runs differ.
    pub trace_hash: u64,
    pub acknowledged: u64,
    pub steps: u64,
}

/// Runs a seed; `adjust` changes what it was drawn to be.
///
/// # Panics
/// When anything that has to hold does not.
pub fn run(seed: u64, adjust: impl Fn(&mut Plan)) -> Outcome {
    let world = World::new(seed);
    let mut plan = Plan::draw(&world);
    adjust(&mut plan);
    if plan.lying_disk {
        world.disk().lie_about_flushes();
    }
    let outside = Outside::new(plan);
    let clients = outside.start_clients(&world);
    let mut run = Run { world: &world, outside, clients, disk_was_full: false, expects_clean: false };
    run.tell(|run| format!("{:?}", run.outside.plan));
    voice::heard(|| run.play());
    let acknowledged = run.outside.ledger.borrow().acknowledged;
    Outcome { trace_hash: world.trace_hash(), acknowledged, steps: world.steps() }
}

struct Run<'w> {
    world: &'w World,
    outside: Outside,
    clients: ProcessId,
    /// In this life: then a shard may end with an error.
    disk_was_full: bool,
    /// The life before ended in good order.
    expects_clean: bool,
}

impl Run<'_> {
    fn play(&mut self) {
        let shards = self.outside.plan.shards.clone();
        let (last, others) = shards.split_last().expect("a life at least");
        for shards in others {
            let mut life = self.start(*shards);
            let steps = match self.world.draw(3) {
                0 => START_STEPS_MAX,
                _ => LIFE_STEPS_MAX,
            };
            life = self.live(life, *shards, steps);
            self.end(life);
            if self.world.draw(3) == 0 {
                self.steps(START_STEPS_MAX);
            }
        }
        let life = self.start(*last);
        let life = self.live(life, *last, LIFE_STEPS_MAX);
        let life = self.come_to_the_end(life, *last);
        self.judge();
        self.tell(|_| "the last crash".to_owned());
        match self.world.draw(2) {
            0 => life.kill(self.world),
            _ => life.cut_power(self.world, Unflushed::Lost),
        }
        let life = self.start(1 + self.world.draw(3) as u16);
        self.judge();
        life.kill(self.world);
    }

    fn start(&mut self, shards: u16) -> Life {
        self.tell(|_| format!("start with {shards} shards"));
        self.disk_was_full = false;
        Life::start(self.world, &self.outside.plan, shards)
    }

    /// Up to so many steps, with disasters between.
    fn live(&mut self, mut life: Life, shards: u16, steps_max: u64) -> Life {
        let end = self.world.steps() + self.world.draw(steps_max);
        let mut disaster = self.next_disaster();
        while self.world.steps() < end && self.world.step() {
            if self.world.steps() >= disaster {
                self.disaster();
                disaster = self.next_disaster();
            }
            life = self.check(life, shards);
        }
        if self.expects_clean
            && let Some(ready) = life.ready()
        {
            assert!(ready.was_clean, "the stop before was in good order and this start does not know");
            self.expects_clean = false;
        }
        life
    }

    fn next_disaster(&self) -> u64 {
        self.world.steps() + 1 + self.world.draw(DISASTER_STEPS_MAX)
    }

    /// A shard that gave up: on a full disk it may, and is started again with room; else it is a bug.
    fn check(&mut self, life: Life, shards: u16) -> Life {
        let Some(failure) = life.failure() else { return life };
        assert!(self.disk_was_full, "the broker gave up: {failure}");
        self.tell(|_| format!("gave up: {failure}"));
        self.world.disk().set_capacity(u64::MAX);
        self.expects_clean = false;
        life.kill(self.world);
        self.start(shards)
    }

    fn disaster(&mut self) {
        if !self.outside.plan.disasters {
            return;
        }
        match self.world.draw(8) {
            0..=2 => {
                let cut = self.world.cut_connection();
                self.tell(|_| format!("a connection is cut: {cut}"));
            }
            3 => {
                self.tell(|_| "the shards' own ports are refused".to_owned());
                self.world.refuse_ports(&(FIRST_SHARD_PORT..FIRST_SHARD_PORT + 3).collect::<Vec<_>>());
            }
            4 => self.world.refuse_ports(&[]),
            5 => {
                let left = self.world.draw(LEFT_BYTES_MAX);
                self.tell(|_| format!("the disk has {left} bytes left"));
                self.disk_was_full = true;
                self.world.disk().set_capacity(self.world.disk().used_bytes() + left);
            }
            6 => self.world.disk().set_capacity(u64::MAX),
            _ => {
                self.tell(|_| "the clients are killed".to_owned());
                self.world.kill(self.clients);
                self.clients = self.outside.start_clients(self.world);
            }
        }
    }

    fn end(&mut self, life: Life) {
        let kind = match self.outside.plan.crashes {
            Crashes::Kill => 0,
            Crashes::PowerCut => 1,
            Crashes::Any => self.world.draw(3),
        };
        self.tell(|_| ["kill", "power cut", "stop"][kind as usize].to_owned());
        self.expects_clean = false;
        match kind {
            0 => life.kill(self.world),
            1 => life.cut_power(self.world, Unflushed::Drawn),
            _ => self.stop(life),
        }
        self.world.disk().set_capacity(u64::MAX);
    }

    fn stop(&mut self, life: Life) {
        life.ask_to_stop();
        let ended = self.world.run_until(|| life.has_stopped() || life.failure().is_some(), STEPS_MAX);
        assert!(ended, "the stop does not end");
        if let Some(failure) = life.failure() {
            assert!(self.disk_was_full, "the stop failed: {failure}");
        }
        self.expects_clean = life.failure().is_none();
        life.kill(self.world);
    }

    fn steps(&self, steps_max: u64) {
        let end = self.world.steps() + self.world.draw(steps_max);
        while self.world.steps() < end && self.world.step() {}
    }

    /// All is well again, nothing new is begun: what was begun must come to its end, and the consumers to theirs.
    fn come_to_the_end(&mut self, mut life: Life, shards: u16) -> Life {
        self.tell(|_| "all is well".to_owned());
        self.world.disk().set_capacity(u64::MAX);
        self.world.refuse_ports(&[]);
        self.outside.is_over.set(true);
        let end = self.world.steps() + STEPS_MAX;
        while self.outside.writing.get() > 0 || self.outside.reading.get() > 0 {
            let (writing, reading) = (self.outside.writing.get(), self.outside.reading.get());
            assert!(
                self.world.steps() < end && self.world.step(),
                "{writing} producers and {reading} consumers wait for what never comes"
            );
            life = self.check(life, shards);
        }
        self.world.kill(self.clients);
        life
    }

    /// Everything is read from its beginning by a client that knows nothing.
    fn judge(&self) {
        let outside = self.outside.clone();
        let verdict = async move {
            let client = new_client();
            let mut topics = list_topics(&client).await;
            for _ in 0..10 {
                if topics.is_err() {
                    topics = list_topics(&client).await;
                }
            }
            let topics = topics.unwrap_or_else(|error| panic!("the broker does not answer: {error}"));
            outside.ledger.borrow_mut().judge_topics(&topics);
            for (topic, name, partitions) in topics {
                let reader = Reader::open(&outside, &client, topic, &name, StartAt::Earliest, true).await;
                let offsets = reader.expect("the topic was just named").read_all().await;
                for partition in 0..partitions {
                    let found = offsets.get(&partition).map_or(&[][..], Vec::as_slice);
                    outside.ledger.borrow().judge((topic, partition), found);
                }
            }
        };
        assert!(self.world.run(verdict, STEPS_MAX).is_some(), "the verdict does not end");
    }

    /// With one seed to replay, says what happens.
    fn tell(&self, text: impl FnOnce(&Self) -> String) {
        if crate::is_replay() {
            eprintln!(
                "{:>12.6} s  step {:>6}  {}",
                self.world.now().as_secs_f64(),
                self.world.steps(),
                text(self)
            );
        }
    }
}
