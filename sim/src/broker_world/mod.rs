//! A whole broker and its clients in a simulated world that crashes.
//!
//! One machine runs the real broker: shards, mesh, catalog, listeners, storage. Another runs the real client: producers,
//! consumers, and one who makes and deletes topics. The test outside crashes, cuts and fills what the seed tells it to,
//! and a ledger, outside of both machines, judges every answer the clients get.
//!
//! | room | what it holds |
//! |---|---|
//! | `plan` | what a seed puts the world through |
//! | `machine` | the broker's machine: started, stopped, killed, cut off from power |
//! | `clients` | the other machine: who lives there, what they share, when they are done |
//! | `producing`, `consuming`, `topics` | the clients |
//! | `members` | members of a consumer group, and what the group was given and promised |
//! | `ledger` | what was sent, answered and seen: the judge |
//! | `voice` | the broker's log, where a seed is replayed |
//! | `run` | one seed from its first start to the last verdict |

mod clients;
mod consuming;
mod ledger;
mod machine;
mod members;
mod plan;
mod producing;
mod run;
mod topics;
mod voice;

pub use plan::{Crashes, Plan};
pub use run::{Outcome, run};
