//! Bounded channels between a shard and ordinary threads (the admin server's, the load generator's reporter).
//!
//! A shard never waits for a thread: it uses the `try_` calls, or awaits. A thread may block. Both ends are `Send`, so
//! a pair is made anywhere and its ends are moved to where they are used; a round trip costs about 60 us.

use std::fmt;

/// A channel of `capacity` messages from threads to a shard.
pub fn channel<M: Send>(capacity: usize) -> (ThreadSender<M>, ShardReceiver<M>) {
    assert!(capacity > 0, "a channel of no messages would never send");
    let (sender, receiver) = flume::bounded(capacity);
    (ThreadSender(sender), ShardReceiver(receiver))
}

/// A channel of `capacity` messages from a shard to a thread.
pub fn channel_to_thread<M: Send>(capacity: usize) -> (ShardSender<M>, ThreadReceiver<M>) {
    assert!(capacity > 0, "a channel of no messages would never send");
    let (sender, receiver) = flume::bounded(capacity);
    (ShardSender(sender), ThreadReceiver(receiver))
}

/// Why a message was not sent; it is handed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<M> {
    /// The channel is full.
    Full(M),
    /// The receiver is gone.
    Closed(M),
}

impl<M> fmt::Debug for TrySendError<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TrySendError::Full(_) => "Full",
            TrySendError::Closed(_) => "Closed",
        })
    }
}

impl<M> From<flume::TrySendError<M>> for TrySendError<M> {
    fn from(error: flume::TrySendError<M>) -> Self {
        match error {
            flume::TrySendError::Full(message) => TrySendError::Full(message),
            flume::TrySendError::Disconnected(message) => TrySendError::Closed(message),
        }
    }
}

/// The thread's end of a channel to a shard.
pub struct ThreadSender<M>(flume::Sender<M>);

impl<M> Clone for ThreadSender<M> {
    fn clone(&self) -> Self {
        ThreadSender(self.0.clone())
    }
}

impl<M> ThreadSender<M> {
    /// Sends now or not at all.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        self.0.try_send(message).map_err(TrySendError::from)
    }

    /// Blocks the thread until there is room. Never on a shard. The message comes back if the shard is gone.
    pub fn send_blocking(&self, message: M) -> Result<(), M> {
        self.0.send(message).map_err(flume::SendError::into_inner)
    }
}

/// The shard's end of a channel from threads.
pub struct ShardReceiver<M>(flume::Receiver<M>);

impl<M> ShardReceiver<M> {
    /// The next message; `None` when all senders are gone.
    pub async fn receive(&self) -> Option<M> {
        self.0.recv_async().await.ok()
    }

    /// The next message if one is there.
    pub fn try_receive(&self) -> Option<M> {
        self.0.try_recv().ok()
    }
}

/// The shard's end of a channel to a thread.
pub struct ShardSender<M>(flume::Sender<M>);

impl<M> Clone for ShardSender<M> {
    fn clone(&self) -> Self {
        ShardSender(self.0.clone())
    }
}

impl<M> ShardSender<M> {
    /// Sends now or not at all. What a shard on its data path uses: it does not wait for a thread.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        self.0.try_send(message).map_err(TrySendError::from)
    }

    /// Waits until there is room. The message comes back if the thread is gone.
    pub async fn send(&self, message: M) -> Result<(), M> {
        self.0.send_async(message).await.map_err(flume::SendError::into_inner)
    }
}

/// The thread's end of a channel from a shard.
pub struct ThreadReceiver<M>(flume::Receiver<M>);

impl<M> ThreadReceiver<M> {
    /// Blocks the thread for the next message; `None` when all senders are gone. Never on a shard.
    pub fn receive_blocking(&self) -> Option<M> {
        self.0.recv().ok()
    }

    /// The next message, for a thread that runs an async runtime of its own; `None` when all senders are gone.
    pub async fn receive(&self) -> Option<M> {
        self.0.recv_async().await.ok()
    }

    /// The next message if one is there.
    pub fn try_receive(&self) -> Option<M> {
        self.0.try_recv().ok()
    }
}
