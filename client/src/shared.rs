//! The core behind its lock, as the public API and the drivers use it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use wire::native::Message;

use crate::core::{CallSlot, Clock, Core, Frame, Moment};
use crate::delivery::lock;
use crate::error::ClientError;
use crate::options::ClientOptions;

/// One client. The lock is held for single steps of the core, never over an await.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    clock: Clock,
}

impl Shared {
    pub(crate) fn new(options: ClientOptions, clock: Clock) -> Arc<Self> {
        Arc::new(Self { core: Mutex::new(Core::new(options, clock)), clock })
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    pub(crate) fn now(&self) -> Moment {
        (self.clock.now)()
    }

    /// Asks the broker and decodes its answer. `repeat`: asking twice does no harm, so a lost connection is not an error.
    pub(crate) async fn ask<M: Message, R: Message>(
        &self,
        message: &M,
        repeat: bool,
    ) -> Result<(R, Frame), ClientError> {
        let slot: Arc<CallSlot> = self.core().call(message, repeat, self.now());
        let frame = std::future::poll_fn(|context| slot.poll(context)).await?;
        if frame.header.kind != R::KIND {
            let reason = format!("{:?} was answered with {:?}", M::KIND, frame.header.kind);
            return Err(ClientError::Protocol { reason });
        }
        Ok((R::decode(&frame.body)?, frame))
    }

    /// Resolves when the client is closed or something is due; see [`Core::set_driver`].
    pub(crate) fn poll_driver(
        &self,
        wake_by: Option<Moment>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        let mut core = self.core();
        if core.is_closed() || core.has_actions() || core.next_deadline() != wake_by {
            return Poll::Ready(());
        }
        core.set_driver(context.waker().clone());
        Poll::Pending
    }
}
