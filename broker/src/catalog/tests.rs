//! The state machine as a whole: commands to records to state, through encoding and snapshots.

use std::collections::HashSet;

use runtime::executor::ShardId;
use uuid::Uuid;

use super::codec::{Decoder, Encoder};
use super::{Catalog, Change, Command, CommandError, Record, plan, plan_start, snapshot};

/// A small generator: the tests need variety, not randomness.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn record(catalog: &Catalog, change: Change) -> Record {
    Record { index: catalog.revision() + 1, term: 0, time_ms: 5, change }
}

fn create(name: &str, partitions: u32, id: u128) -> Command {
    let id = Uuid::from_u128(id);
    Command::CreateTopic { name: name.to_owned(), partitions, settings: Vec::new(), id, validate_only: false }
}

fn apply(catalog: &mut Catalog, command: &Command) -> Result<Option<Record>, CommandError> {
    let Some(change) = plan(command, catalog)?.change else { return Ok(None) };
    let record = record(catalog, change);
    catalog.apply(&record).unwrap();
    Ok(Some(record))
}

fn start(catalog: &mut Catalog, shards: u16) -> Record {
    let record = record(catalog, plan_start(catalog, shards));
    catalog.apply(&record).unwrap();
    record
}

fn random_command(dice: &mut Dice, step: u64) -> Command {
    let name = format!("t{}{}", if dice.below(2) == 0 { '.' } else { '_' }, dice.below(8));
    match dice.below(5) {
        0 | 1 => create(&name, dice.below(6) as u32, u128::from(step) + 1),
        2 => Command::DeleteTopic { name },
        3 => {
            let value = (dice.below(2) == 0).then(|| (2_000_000 + dice.below(9)).to_string());
            let settings = vec![("segment.bytes".to_owned(), value)];
            let partitions = (dice.below(2) == 0).then(|| dice.below(9) as u32 + 1);
            Command::AlterTopic { name, partitions, settings }
        }
        _ => Command::ReserveProducerIds { count: 10 },
    }
}

fn spread_of_each_topic(catalog: &Catalog) -> usize {
    let spread = |topic: &super::Topic| {
        let count =
            |shard| topic.partitions.iter().filter(|partition| partition.shard == ShardId(shard)).count();
        let counts: Vec<usize> = (0..catalog.shards()).map(count).collect();
        counts.iter().max().unwrap() - counts.iter().min().unwrap()
    };
    catalog.topics().map(spread).max().unwrap_or(0)
}

#[test]
fn random_lives_keep_the_invariants_and_replay_to_the_same_state() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let (mut catalog, mut records, mut uids) = (Catalog::default(), Vec::new(), HashSet::new());
        records.push(start(&mut catalog, 2));
        for step in 0..200 {
            let before = catalog.clone();
            let made = match dice.below(12) {
                0 => Some(start(&mut catalog, 1 + dice.below(5) as u16)),
                1 => apply(&mut catalog, &Command::Stop).unwrap(),
                _ => apply(&mut catalog, &random_command(&mut dice, step)).unwrap_or(None),
            };
            let Some(made) = made else {
                assert_eq!(before, catalog, "what made no record changed nothing");
                continue;
            };
            if let Change::TopicCreated { partitions, .. } | Change::TopicAltered { added: partitions, .. } =
                &made.change
            {
                partitions.iter().for_each(|place| assert!(uids.insert(place.uid), "{} twice", place.uid));
            }
            for topic in catalog.topics() {
                let Some(old) = before.topic_by_id(&topic.id) else { continue };
                for (old, new) in old.partitions.iter().zip(&topic.partitions) {
                    assert!(new.leader_epoch >= old.leader_epoch && new.uid == old.uid);
                    assert!(
                        new.shard == old.shard || new.leader_epoch > old.leader_epoch,
                        "a move raises the epoch"
                    );
                }
            }
            assert!(spread_of_each_topic(&catalog) <= 1, "seed {seed} step {step}");
            let mut out = Encoder::default();
            made.change.encode(&mut out);
            let bytes = out.into_bytes();
            assert_eq!(Change::decode(&mut Decoder::new(&bytes)).unwrap(), made.change);
            records.push(made);
        }
        let mut replayed = Catalog::default();
        records.iter().for_each(|record| replayed.apply(record).unwrap());
        assert_eq!(replayed, catalog);
        let bytes = snapshot::encode(&catalog);
        assert_eq!(snapshot::decode(&bytes, catalog.revision()).unwrap(), catalog);
        for length in 0..bytes.len() {
            assert!(snapshot::decode(&bytes[..length], 1).is_err(), "cut at {length}");
        }
    }
}

#[test]
fn noise_is_refused_and_never_panics() {
    let mut dice = Dice(7);
    for _ in 0..20_000 {
        let noise: Vec<u8> =
            (0..dice.below(80)).map(|_| dice.below(256) as u8 * (dice.below(3) > 0) as u8).collect();
        let _ = Change::decode(&mut Decoder::new(&noise));
        let _ = snapshot::decode(&noise, 1);
    }
}

#[test]
fn an_unclean_stop_raises_every_epoch_once_and_a_clean_one_none() {
    let mut catalog = Catalog::default();
    start(&mut catalog, 2);
    apply(&mut catalog, &create("t", 3, 1)).unwrap();
    let epoch = catalog.leader_epoch();
    start(&mut catalog, 2);
    assert!(
        catalog.topic("t").unwrap().partitions.iter().all(|partition| partition.leader_epoch == epoch + 1)
    );
    apply(&mut catalog, &Command::Stop).unwrap();
    start(&mut catalog, 2);
    assert_eq!(catalog.leader_epoch(), epoch + 1);
}

#[test]
fn a_topic_made_again_under_its_name_is_another_topic_whose_epochs_go_on() {
    let mut catalog = Catalog::default();
    start(&mut catalog, 1);
    start(&mut catalog, 1);
    apply(&mut catalog, &create("t", 1, 1)).unwrap();
    let first = catalog.topic("t").unwrap().clone();
    apply(&mut catalog, &Command::DeleteTopic { name: "t".to_owned() }).unwrap();
    apply(&mut catalog, &create("t", 1, 2)).unwrap();
    let second = catalog.topic("t").unwrap();
    assert_ne!(first.id, second.id);
    assert!(second.partitions[0].uid > first.partitions[0].uid);
    assert!(second.partitions[0].leader_epoch >= first.partitions[0].leader_epoch);
}

#[test]
fn commands_that_make_no_sense_are_refused_and_change_nothing() {
    let mut catalog = Catalog::default();
    start(&mut catalog, 2);
    apply(&mut catalog, &create("t", 3, 1)).unwrap();
    let alter = |partitions| Command::AlterTopic { name: "t".to_owned(), partitions, settings: Vec::new() };
    assert!(matches!(apply(&mut catalog, &create("t", 1, 2)), Err(CommandError::TopicExists { .. })));
    assert!(matches!(apply(&mut catalog, &create("a b", 1, 2)), Err(CommandError::Name(_))));
    assert!(matches!(apply(&mut catalog, &alter(Some(2))), Err(CommandError::FewerPartitions { .. })));
    assert!(matches!(
        apply(&mut catalog, &alter(Some(1 << 30))),
        Err(CommandError::TooManyPartitions { .. })
    ));
    assert_eq!(apply(&mut catalog, &alter(Some(3))), Ok(None));
    let unknown = Command::DeleteTopic { name: "u".to_owned() };
    assert!(matches!(apply(&mut catalog, &unknown), Err(CommandError::UnknownTopic { .. })));
    assert_eq!(catalog.topics().count(), 1);
}

/// `min.compaction.lag.ms` above `max.compaction.lag.ms` was taken, and blanks around a number were refused.
#[test]
fn settings_are_kept_as_they_were_read_and_must_fit_together() {
    let mut catalog = Catalog::default();
    start(&mut catalog, 1);
    let given = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let create = |settings: &[(&str, &str)]| {
        let (name, id) = ("t".to_owned(), Uuid::from_u128(1));
        Command::CreateTopic { name, partitions: 1, settings: given(settings), id, validate_only: false }
    };
    let alter = |settings: &[(&str, &str)]| {
        let settings = given(settings).into_iter().map(|(name, value)| (name, Some(value))).collect();
        Command::AlterTopic { name: "t".to_owned(), partitions: None, settings }
    };
    let lags = create(&[("min.compaction.lag.ms", "6"), ("max.compaction.lag.ms", "5")]);
    assert!(matches!(apply(&mut catalog, &lags), Err(CommandError::Setting(_))));
    let settings = [("preallocate", "TRUE"), ("max.compaction.lag.ms", " 5 "), ("cleanup.policy", "")];
    apply(&mut catalog, &create(&settings)).unwrap();
    let kept = |catalog: &Catalog, name: &str| catalog.topic("t").unwrap().settings[name].clone();
    assert_eq!(kept(&catalog, "preallocate"), "true");
    assert_eq!(kept(&catalog, "max.compaction.lag.ms"), "5");
    assert!(matches!(
        apply(&mut catalog, &alter(&[("min.compaction.lag.ms", "6")])),
        Err(CommandError::Setting(_))
    ));
    let remote = alter(&[("remote.storage.enable", " True ")]);
    assert!(matches!(apply(&mut catalog, &remote), Err(CommandError::Setting(_))));
    assert_eq!(apply(&mut catalog, &alter(&[("preallocate", " true")])), Ok(None), "it is that already");

    let log_settings = catalog.topic("t").unwrap().log_settings();
    assert_eq!((log_settings.retention_ms, log_settings.retention_bytes), (None, None), "nothing deletes");
    for (given, acts) in [("0", 0), ("2147483647", wire::limits::BATCH_BYTES_MAX as u32), ("2000", 2_000)] {
        apply(&mut catalog, &alter(&[("max.message.bytes", given)])).unwrap();
        assert_eq!(kept(&catalog, "max.message.bytes"), given);
        assert_eq!(catalog.topic("t").unwrap().log_settings().batch_bytes_max, acts);
    }
}

/// `a.b` and `a_b` were two topics, whose metrics no tool of Kafka's can tell apart.
#[test]
fn a_name_that_collides_is_refused_until_the_other_is_gone_and_old_catalogs_load() {
    let mut catalog = Catalog::default();
    start(&mut catalog, 1);
    apply(&mut catalog, &create("a.b", 1, 1)).unwrap();
    let error = apply(&mut catalog, &create("a_b", 1, 2)).unwrap_err();
    assert_eq!(error.to_string(), "Topic 'a_b' collides with existing topic: a.b");
    let same = apply(&mut catalog, &create("a.b", 1, 2));
    assert!(matches!(same, Err(CommandError::TopicExists { .. })));
    // An older version's records, and its snapshots.
    let created = |name: &str, id| Change::TopicCreated {
        id: Uuid::from_u128(id),
        name: name.to_owned(),
        settings: Default::default(),
        partitions: Vec::new(),
    };
    let old = record(&catalog, created("a_b", 2));
    catalog.apply(&old).unwrap();
    let catalog = snapshot::decode(&snapshot::encode(&catalog), catalog.revision());
    let mut catalog = catalog.unwrap();
    assert_eq!(catalog.topics().count(), 2);
    for name in ["a.b", "a_b"] {
        assert!(matches!(
            apply(&mut catalog, &create("a.b", 1, 3)),
            Err(CommandError::TopicExists { .. } | CommandError::Collides { .. })
        ));
        apply(&mut catalog, &Command::DeleteTopic { name: name.to_owned() }).unwrap();
    }
    apply(&mut catalog, &create("a_b", 1, 3)).unwrap();
    // The groups' topic must not be kept out by what somebody calls a topic.
    apply(&mut catalog, &create("__consumer.offsets", 1, 4)).unwrap();
    apply(&mut catalog, &create(super::OFFSETS_TOPIC, 1, 5)).unwrap();
}
