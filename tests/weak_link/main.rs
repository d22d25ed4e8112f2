//! n8n as the weak link: killed while it waits, killed while it works, away for a while, told twice, resumed twice,
//! failing. Nothing is lost, nobody is asked twice, and what cannot go on has an owner.
//!
//! Time passes sixty times as fast as in a shop. With `STEWARD_LONG=1` n8n is really away for ten minutes under the
//! shipped schedule; `the_case` tests then take an hour: `STEWARD_LONG=1 cargo test -p steward-e2e --test weak_link the_case`.

mod errors;
mod ground;
mod outage;
mod repeats;
