//! What breaks while business goes on: processes, broker, database, cache, and peers that do not tell the truth. Two
//! replicas of each service, real servers, and a stream of falls in stock that each become a push, some of them an
//! approved transfer. The ledgers of the far ends say afterwards what was lost and what was doubled.
//!
//! `STEWARD_FAULT_EVENTS` sets the size of each stream (2,000 unless told), `STEWARD_FAULT_SEED` repeats a run.

mod broker;
mod chance;
mod ground;
mod peers;
mod proof;
mod replicas;
mod stores;
mod stream;
mod watch;
mod workflow;
