//! What requests do, whichever protocol they came by. One file a kind of request; each passes
//! [`authorize`](crate::session::authorize) before it acts.

mod fetch;
mod groups;
mod node;
mod offsets;
mod owner;
mod partitions;
mod produce;
mod records;
mod remote;
mod topics;

pub(crate) use fetch::{PartitionReader, fetch};
pub(crate) use groups::{ask_group, coordinator_of, ensure_offsets_topic, list_groups, open_groups};
pub(crate) use node::describe_node;
pub(crate) use offsets::find_offset;
pub(crate) use partitions::{describe_partitions, describe_producers, end_of_epoch};
pub(crate) use produce::produce;
pub(crate) use records::delete_records;
pub(crate) use remote::run_mesh;
pub(crate) use topics::{
    TopicDescription, alter_topic, create_topic, delete_topic, describe_topic, init_producer,
};
