//! One client: connections and knowledge shared by its producers and consumers.

use std::sync::Arc;

use wire::codes::ErrorCode;
use wire::native::{Metadata, MetadataReply, TopicSelection};

use crate::admin::Admin;
use crate::consumer::Consumer;
use crate::error::ClientError;
use crate::group::{GroupConsumer, GroupOptions};
use crate::options::{ConsumerOptions, ProducerOptions};
use crate::producer::{BatchProducer, Producer};
use crate::shared::Shared;

/// A client of one cluster. Cheap to clone: clones share the connections. It connects when it is made, and again
/// whenever a connection is lost. When the last clone, producer and consumer are gone, the connections are closed.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Closes the client when the last user is gone.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.core().close();
    }
}

impl Client {
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { handle: Arc::new(Handle { shared }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Topics, settings, the node's description.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// A producer for one topic.
    pub async fn producer(&self, topic: &str, options: ProducerOptions) -> Result<Producer, ClientError> {
        Ok(Producer::new(self.add_producer(topic, options).await?))
    }

    /// A producer of whole batches for one topic, for load generators and relays: see [`BatchProducer`].
    pub async fn batch_producer(
        &self,
        topic: &str,
        options: ProducerOptions,
    ) -> Result<BatchProducer, ClientError> {
        Ok(BatchProducer::new(self.add_producer(topic, options).await?))
    }

    async fn add_producer(
        &self,
        topic: &str,
        options: ProducerOptions,
    ) -> Result<crate::producer::ProducerHandle, ClientError> {
        self.look_up(topic).await?;
        let shared = self.shared();
        let index = shared.core().add_producer(topic, options, shared.now())?;
        Ok(crate::producer::ProducerHandle { client: self.clone(), index })
    }

    /// A consumer of one topic.
    pub async fn consumer(&self, topic: &str, options: ConsumerOptions) -> Result<Consumer, ClientError> {
        self.look_up(topic).await?;
        let shared = self.shared();
        let index = shared.core().add_consumer(topic, options, shared.now())?;
        Ok(Consumer::new(self.clone(), index))
    }

    /// A member of a consumer group. It joins when the first batch is asked for.
    pub async fn group_consumer(
        &self,
        group: &str,
        options: GroupOptions,
    ) -> Result<GroupConsumer, ClientError> {
        if options.topics.is_empty() {
            return Err(ClientError::Invalid {
                reason: "a member of a group reads at least one topic".into(),
            });
        }
        for topic in &options.topics {
            self.look_up(topic).await?;
        }
        Ok(GroupConsumer::new(self.clone(), group, options))
    }

    /// Learns where a topic's partitions are.
    async fn look_up(&self, topic: &str) -> Result<(), ClientError> {
        let shared = self.shared();
        let message = Metadata { topics: TopicSelection::Names(vec![topic.to_owned()]), follow: true };
        let (reply, frame) = shared.ask::<_, MetadataReply>(&message, true).await?;
        match reply.topics.first().map(|found| found.code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::UnknownTopic) | None => {
                return Err(ClientError::NoSuchTopic { name: topic.to_owned() });
            }
            Some(code) => return Err(ClientError::refused(code)),
        }
        shared.core().absorb(reply, frame.header.catalog_revision, shared.now());
        Ok(())
    }

    /// Closes all connections at once. What is still under way fails; flush producers first.
    pub fn close(&self) {
        self.shared().core().close();
    }
}
