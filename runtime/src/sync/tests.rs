use std::pin::pin;

use super::*;

/// Polls once with a waker that does nothing.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn an_event_wakes_those_who_asked_before_it_and_nobody_after() {
    let event = Event::new();
    let mut before = pin!(event.wait());
    assert!(poll(before.as_mut()).is_pending());
    // Created before the notification, polled only after it.
    let mut unpolled = pin!(event.wait());
    event.notify_all();
    assert!(poll(before).is_ready() && poll(unpolled.as_mut()).is_ready());
    assert!(poll(pin!(event.wait())).is_pending());
}

#[test]
fn a_dropped_wait_leaves_nothing_behind_in_the_event() {
    let event = Event::new();
    for _ in 0..100 {
        let mut wait = pin!(event.wait());
        assert!(poll(wait.as_mut()).is_pending());
    }
    assert!(event.shared.waiters.borrow().is_empty());
}

#[test]
fn a_large_request_is_not_starved_by_small_ones_behind_it() {
    let semaphore = Semaphore::new(3);
    let held = semaphore.try_acquire(2).unwrap();
    let mut large = pin!(semaphore.acquire(3));
    assert!(poll(large.as_mut()).is_pending());
    let mut small = pin!(semaphore.acquire(1));
    assert!(poll(small.as_mut()).is_pending());
    assert!(semaphore.try_acquire(1).is_none());
    drop(held);
    assert!(poll(small.as_mut()).is_pending());
    let Poll::Ready(permit) = poll(large) else { panic!("all three are free") };
    assert_eq!((permit.count(), semaphore.available()), (3, 0));
    drop(permit);
    assert!(poll(small).is_ready());
}

#[test]
fn a_dropped_request_passes_its_permits_on() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    let mut first = Box::pin(semaphore.acquire(1));
    let mut second = pin!(semaphore.acquire(1));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    drop(held);
    // Granted already, never looked at.
    drop(first);
    assert!(poll(second).is_ready());
}

#[test]
fn a_request_that_gives_up_makes_way_for_smaller_ones() {
    let semaphore = Semaphore::new(2);
    let _held = semaphore.try_acquire(1).unwrap();
    let mut large = Box::pin(semaphore.acquire(2));
    let mut small = pin!(semaphore.acquire(1));
    assert!(poll(large.as_mut()).is_pending() && poll(small.as_mut()).is_pending());
    drop(large);
    assert!(poll(small).is_ready());
}

#[test]
fn a_oneshot_brings_its_value_or_says_that_none_will_come() {
    let (sender, receiver) = oneshot::channel();
    let mut receiver = pin!(receiver);
    assert!(poll(receiver.as_mut()).is_pending());
    sender.send(5).unwrap();
    assert_eq!(poll(receiver), Poll::Ready(Ok(5)));

    let (sender, receiver) = oneshot::channel::<u8>();
    drop(sender);
    assert_eq!(poll(pin!(receiver)), Poll::Ready(Err(oneshot::Dropped)));

    let (sender, receiver) = oneshot::channel();
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send("back"), Err("back"));
}

#[test]
fn a_queue_keeps_its_order_and_its_bound() {
    let (sender, mut receiver) = queue::channel(2);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(sender.try_send(3), Err(queue::TrySendError::Full(3)));
    let mut waiting = pin!(sender.send(3));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(receiver.try_receive(), Some(1));
    // The room belongs to the one who waits.
    assert_eq!(sender.try_send(4), Err(queue::TrySendError::Full(4)));
    assert_eq!(poll(waiting), Poll::Ready(Ok(())));
    assert_eq!((receiver.try_receive(), receiver.try_receive()), (Some(2), Some(3)));
    assert!(receiver.is_empty());
}

#[test]
fn a_queue_ends_when_its_senders_or_its_receiver_are_gone() {
    let (sender, mut receiver) = queue::channel(1);
    let second_sender = sender.clone();
    sender.try_send(1).unwrap();
    drop(sender);
    assert_eq!(poll(pin!(receiver.receive())), Poll::Ready(Some(1)));
    assert!(poll(pin!(receiver.receive())).is_pending());
    second_sender.try_send(2).unwrap();
    let mut waiting = pin!(second_sender.send(3));
    assert!(poll(waiting.as_mut()).is_pending());
    drop(receiver);
    assert_eq!(poll(waiting), Poll::Ready(Err(3)));

    let (sender, mut receiver) = queue::channel::<u8>(1);
    drop(sender);
    assert_eq!(poll(pin!(receiver.receive())), Poll::Ready(None));
}
