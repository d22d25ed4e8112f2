//! Acknowledging many messages with one frame, although lanes finish them out of order.
//!
//! RabbitMQ can be told "all up to this one". What is taken beyond a message that is still being handled waits to be
//! included; when too much waits, it is acknowledged one by one, so that one slow handler does not use up the window of
//! the others.

use std::collections::VecDeque;

use lapin::{Channel, options::BasicAckOptions};
use tokio::sync::Mutex;

/// Deliveries of one channel, all its consumers together: "up to" does not ask whose they are.
pub(super) struct Acks {
    channel: Channel,
    /// Most messages that wait behind one that is not done.
    patience: usize,
    // Held while a frame is handed over: an older "up to" after a newer one is an error that closes the channel.
    open: Mutex<VecDeque<Open>>,
}

struct Open {
    tag: u64,
    done: bool,
}

/// What to tell the broker.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
    up_to: Option<u64>,
    singly: Vec<u64>,
}

impl Acks {
    pub(super) fn new(channel: Channel, prefetch: u16) -> Self {
        Self { channel, patience: usize::from(prefetch) / 4, open: Mutex::default() }
    }

    /// A message has come. In the order of tags, which is that of arrival.
    pub(super) async fn arrived(&self, tag: u64) {
        self.open.lock().await.push_back(Open { tag, done: false });
    }

    /// Messages are taken.
    ///
    /// # Errors
    /// When the session is over; the messages come again in the next one.
    pub(super) async fn done(&self, tags: impl IntoIterator<Item = u64>) -> Result<(), lapin::Error> {
        let mut open = self.open.lock().await;
        let due = settle(&mut open, tags, self.patience);
        if let Some(tag) = due.up_to {
            self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
        }
        for tag in due.singly {
            self.channel.basic_ack(tag, BasicAckOptions::default()).await?;
        }
        Ok(())
    }
}

fn settle(open: &mut VecDeque<Open>, tags: impl IntoIterator<Item = u64>, patience: usize) -> Due {
    for tag in tags {
        if let Ok(at) = open.binary_search_by_key(&tag, |one| one.tag) {
            open[at].done = true;
        }
    }
    let mut due = Due::default();
    while open.front().is_some_and(|one| one.done) {
        due.up_to = open.pop_front().map(|one| one.tag);
    }
    if open.iter().filter(|one| one.done).count() > patience {
        due.singly = open.iter().filter(|one| one.done).map(|one| one.tag).collect();
        open.retain(|one| !one.done);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(tags: std::ops::RangeInclusive<u64>) -> VecDeque<Open> {
        tags.map(|tag| Open { tag, done: false }).collect()
    }

    fn due(up_to: impl Into<Option<u64>>, singly: &[u64]) -> Due {
        Due { up_to: up_to.into(), singly: singly.to_vec() }
    }

    #[test]
    fn nothing_is_acknowledged_before_everything_up_to_it_is_done() {
        let mut open = arrived(1..=5);
        assert_eq!(settle(&mut open, [2, 3], 9), due(None, &[]));
        assert_eq!(settle(&mut open, [1], 9), due(3, &[]));
        assert_eq!(settle(&mut open, [5], 9), due(None, &[]));
        assert_eq!(settle(&mut open, [4], 9), due(5, &[]));
        assert!(open.is_empty());
    }

    #[test]
    fn a_slow_one_holds_back_only_so_many() {
        let mut open = arrived(1..=5);
        assert_eq!(settle(&mut open, [2, 3], 2), due(None, &[]));
        assert_eq!(settle(&mut open, [5], 2), due(None, &[2, 3, 5]));
        assert_eq!(settle(&mut open, [1], 2), due(1, &[]), "what was told already is not told again");
        assert_eq!(settle(&mut open, [4], 2), due(4, &[]));
    }
}
