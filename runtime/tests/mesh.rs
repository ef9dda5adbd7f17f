//! The mesh between real executors.
#![cfg(not(feature = "simulator"))]

mod on_shards;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use on_shards::{on_one_shard, on_two_shards};
use runtime::executor::{self, ShardId};
use runtime::mesh::{self, Closed, SendError};
use runtime::{clock, task, thread};

const FIRST: ShardId = ShardId(0);
const SECOND: ShardId = ShardId(1);

#[test]
fn messages_of_one_lane_arrive_in_order_and_a_full_lane_makes_the_sender_wait() {
    let plan = mesh::plan::<u64>(2, 8);
    on_two_shards(move |shard| {
        let plan = plan.clone();
        async move {
            let mesh = plan.join(shard).await;
            let other = if shard == FIRST { SECOND } else { FIRST };
            let sender = mesh.clone();
            let sending = task::spawn(async move {
                for number in 0..50_000 {
                    sender.send(other, number).await.unwrap();
                }
            });
            for number in 0..50_000 {
                assert_eq!(mesh.receive().await, Some((other, number)));
            }
            sending.await;
        }
    });
}

#[test]
fn an_idle_shard_is_woken_by_a_message() {
    let plan = mesh::plan::<u64>(2, 8);
    on_two_shards(move |shard| {
        let plan = plan.clone();
        async move {
            let mesh = plan.join(shard).await;
            for round in 0..20 {
                if shard == FIRST {
                    // Long enough for the other one to sleep; its waking does not depend on it.
                    clock::sleep(Duration::from_millis(2)).await;
                    mesh.try_send(SECOND, round).unwrap();
                    assert_eq!(mesh.receive().await, Some((SECOND, round)));
                } else {
                    assert_eq!(mesh.receive().await, Some((FIRST, round)));
                    mesh.try_send(FIRST, round).unwrap();
                }
            }
        }
    });
}

/// Two shards that asked each other and waited slept for ever: glommio went to sleep with ready tasks when an event came
/// between waking them and running them (`uring/executor/heartbeat.rs`). Threads that take the cores away now and then make
/// such moments frequent; few messages in flight make each sleep matter.
#[test]
fn shards_that_wait_for_each_other_never_sleep_for_ever() {
    let plan = mesh::plan::<u64>(2, 8);
    let stop = Arc::new(AtomicBool::new(false));
    let disturbing: Vec<_> = executor::affinity_cores()
        .into_iter()
        .map(|core| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                executor::pin_thread(core);
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    on_two_shards(move |shard| {
        let plan = plan.clone();
        async move {
            let mesh = plan.join(shard).await;
            let other = if shard == FIRST { SECOND } else { FIRST };
            for number in 0..4 {
                mesh.send(other, number).await.unwrap();
            }
            for number in 4..50_000 {
                assert_eq!(mesh.receive().await, Some((other, number - 4)));
                // The other one may have had all it waits for, and left.
                let _ = mesh.send(other, number).await;
            }
        }
    });
    stop.store(true, Ordering::Relaxed);
    for thread in disturbing {
        thread.join().unwrap();
    }
}

#[test]
fn a_full_lane_refuses_what_will_not_wait() {
    let plan = mesh::plan::<u8>(2, 1);
    on_two_shards(move |shard| {
        let plan = plan.clone();
        async move {
            let mesh = plan.join(shard).await;
            if shard == SECOND {
                // Nothing is received before the first shard has seen its lane full, and said so.
                return assert_eq!(mesh.receive().await, Some((FIRST, 1)));
            }
            mesh.try_send(SECOND, 1).unwrap();
            // Full until the other shard takes it, or gone with the other shard, which leaves after it took it.
            match mesh.try_send(SECOND, 2) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.into_message(), 2),
            }
        }
    });
}

/// On glommio's shared channels such a send never ended and kept its executor busy.
#[test]
fn a_send_that_waits_at_a_shard_that_leaves_is_told() {
    let plan = mesh::plan::<u8>(2, 1);
    on_two_shards(move |shard| {
        let plan = plan.clone();
        async move {
            let mesh = plan.join(shard).await;
            if shard == SECOND {
                // A message from the first shard means that its lane was full and more is waiting, or will be.
                assert_eq!(mesh.receive().await, Some((FIRST, 1)));
                return;
            }
            mesh.send(SECOND, 1).await.unwrap();
            let mut sent = 1;
            let back = loop {
                sent += 1;
                match mesh.send(SECOND, sent).await {
                    Ok(()) => {}
                    Err(Closed(message)) => break message,
                }
            };
            assert_eq!(back, sent);
            assert_eq!(mesh.try_send(SECOND, 9), Err(SendError::Closed(9)));
            assert_eq!(mesh.receive().await, None);
        }
    });
}

#[test]
fn waiting_senders_of_one_shard_keep_their_order() {
    let plan = mesh::plan::<u32>(2, 2);
    on_two_shards(move |shard| {
        let plan = plan.clone();
        async move {
            let mesh = plan.join(shard).await;
            if shard == FIRST {
                let sending: Vec<_> = (0..100)
                    .map(|number| {
                        let mesh = mesh.clone();
                        task::spawn(async move { mesh.send(SECOND, number).await.unwrap() })
                    })
                    .collect();
                for sent in sending {
                    sent.await;
                }
            } else {
                for number in 0..100 {
                    assert_eq!(mesh.receive().await, Some((FIRST, number)));
                }
            }
        }
    });
}

#[test]
fn a_mesh_of_one_has_nobody_to_wait_for() {
    on_one_shard(|| async {
        let mesh = mesh::plan::<u8>(1, 4).join(FIRST).await;
        assert_eq!((mesh.shards(), mesh.receive().await), (1, None));
    });
}

#[test]
fn a_thread_and_a_shard_talk_over_bounded_channels() {
    let (to_shard, from_thread) = thread::channel::<u32>(2);
    let (to_thread, from_shard) = thread::channel_to_thread::<u32>(2);
    let (ends, ends_of_shard) = mpsc::channel();
    ends.send((from_thread, to_thread)).unwrap();
    let ends_of_shard = Arc::new(std::sync::Mutex::new(ends_of_shard));
    let asking = std::thread::spawn(move || {
        for number in 0..100 {
            to_shard.send_blocking(number).unwrap();
            assert_eq!(from_shard.receive_blocking(), Some(number * 2));
        }
        drop(to_shard);
        assert_eq!(from_shard.receive_blocking(), None);
    });
    on_one_shard(move || {
        let (from_thread, to_thread) = ends_of_shard.lock().unwrap().recv().unwrap();
        async move {
            while let Some(number) = from_thread.receive().await {
                to_thread.send(number * 2).await.unwrap();
            }
        }
    });
    asking.join().unwrap();
}
