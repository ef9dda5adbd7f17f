//! Starts that are refused, stops, addresses.

use crate::fixture::{DataFolder, RunningBroker, batch_of, config};
use broker::Config;
use wire::codes::ErrorCode;
use wire::native::{Fetch, FetchReply, GoingAway};

#[test]
fn a_second_broker_on_the_folder_is_refused_with_a_clear_error() {
    let data = DataFolder::new("second");
    let broker = RunningBroker::start(config(&data));
    let error = RunningBroker::try_start(config(&data)).err().expect("the folder is taken");
    assert!(error.to_string().contains("lock"), "{error}");
    broker.connect().metadata();
}

#[test]
fn a_port_that_is_taken_is_refused_although_it_could_be_shared() {
    let (data, other) = (DataFolder::new("port"), DataFolder::new("port-other"));
    let broker = RunningBroker::start(config(&data));
    let taken = Config { listen: broker.shared().to_string(), ..config(&other) };
    let error = RunningBroker::try_start(taken).err().expect("the port is taken");
    assert!(error.to_string().contains("cannot listen"), "{error}");
}

#[test]
fn a_folder_of_a_newer_broker_is_refused() {
    let data = DataFolder::new("newer");
    RunningBroker::start(config(&data)).stop();
    let path = data.path().join("corelog.meta");
    let mut meta = std::fs::read(&path).unwrap();
    meta[8..12].copy_from_slice(&9_u32.to_le_bytes());
    meta[12..16].copy_from_slice(&9_u32.to_le_bytes());
    let crc = crc32fast::hash(&meta[..60]);
    meta[60..].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, meta).unwrap();
    let error = RunningBroker::try_start(config(&data)).err().expect("it is newer");
    assert!(error.to_string().contains("format 9"), "{error}");
}

#[test]
fn a_lost_catalog_stops_the_start_instead_of_orphaning_the_data() {
    let data = DataFolder::new("lost-catalog");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic = client.create_topic("t", 1);
    client.produce(topic, 0, &batch_of(&["x"]));
    drop(client);
    broker.stop();
    std::fs::remove_dir_all(data.path().join("catalog")).unwrap();
    let error = RunningBroker::try_start(config(&data)).err().expect("the catalog is lost");
    assert!(error.to_string().contains("no catalog"), "{error}");
}

#[test]
fn clients_are_told_what_is_advertised() {
    let data = DataFolder::new("advertised");
    let advertise = Some("broker.example".to_owned());
    let broker = RunningBroker::start(Config { advertise, ..config(&data) });
    let reply = broker.connect().metadata();
    assert_eq!(reply.shared.host, "broker.example");
    assert!(reply.shards.iter().all(|shard| shard.host == "broker.example"));
}

#[test]
fn a_wildcard_listener_tells_each_client_the_address_it_reached() {
    let data = DataFolder::new("wildcard");
    let broker = RunningBroker::start(Config { listen: "0.0.0.0:0".to_owned(), ..config(&data) });
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], broker.shared().port()));
    let reply = crate::fixture::RawClient::greeted(address).metadata();
    assert_eq!(reply.shared.host, "127.0.0.1");
}

#[test]
fn a_stop_says_so_answers_what_waits_and_ends_the_stream() {
    let data = DataFolder::new("stop");
    let broker = RunningBroker::start(config(&data));
    let mut client = broker.connect();
    let topic_id = client.create_topic("t", 1);
    let fetch =
        Fetch { topic_id, partition: 0, offset: 0, bytes_max: 1_000, bytes_min: 1, wait_ms_max: 60_000 };
    client.send(&fetch, &[]);
    // Its answer shows that the fetch before it was taken.
    client.metadata();
    let stopping = std::thread::spawn(move || broker.stop());
    assert_eq!(client.receive().decode::<GoingAway>().code, ErrorCode::NotServing);
    let reply: FetchReply = client.receive().decode();
    assert!(matches!(reply.code, ErrorCode::None | ErrorCode::NotServing), "{:?}", reply.code);
    assert!(client.try_receive().is_none());
    drop(client);
    stopping.join().unwrap();
}
