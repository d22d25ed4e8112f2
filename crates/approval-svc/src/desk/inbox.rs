//! What waits for one person, the dearest first.

use chassis::prelude::{Cx, StoreError, Timestamp};
use contracts::PersonId;
use governance::{
    Directory,
    authority::{Delegation, Matter, Standing, mandates},
};

use super::Desk;
use crate::store::{
    Scope, Stored, authority as book,
    inbox::{self, Place},
};

/// Requests read at a time.
const BATCH: usize = 200;
/// Requests looked at for one page: who can decide little of much gets a short page and the cursor to go on from.
const LOOKS_AT: usize = 2_000;

/// One page.
pub(crate) struct Inbox {
    pub(crate) items: Vec<Stored>,
    /// After what was looked at; `None` at the end.
    pub(crate) next: Option<Place>,
}

impl Desk {
    /// What this person can decide now, in their own right or for somebody else, after a place in the order.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn inbox(
        &self,
        cx: &Cx,
        person: &PersonId,
        scope: &Scope,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Inbox, StoreError> {
        let currency = match &after {
            Some(place) => place.currency,
            None => self.policies.in_force(cx).await?.base().money.as_ref().map(|money| money.base),
        };
        let now = cx.clock().now();
        let mut reader = cx.store().read().await?;
        let mut delegations = book::around(&mut reader, "", now).await?.delegations;
        if !delegations.iter().any(|one| one.delegate == *person) {
            delegations.clear();
        }
        let people: Vec<_> = std::iter::once(person).chain(delegations.iter().map(|one| &one.delegator)).collect();
        let called_in = inbox::called_in(&mut reader, &people).await?;
        let (mut items, mut after, mut looked_at) = (Vec::new(), after, 0);
        while looked_at < LOOKS_AT {
            let batch = inbox::waiting(&mut reader, scope, currency, after.as_ref(), BATCH).await?;
            let end = batch.len() < BATCH;
            looked_at += batch.len();
            for request in batch {
                let place = Place::of(&request, currency);
                // Most are not theirs, which needs no look into the store.
                let likely = awaits(&request, person, &self.people_by(&delegations, &request, now))
                    || called_in.contains(&request.id);
                if likely && awaits(&request, person, &self.people_looking(&mut reader, &request, now).await?) {
                    if items.len() == limit {
                        return Ok(Inbox { items, next: after });
                    }
                    items.push(request);
                }
                after = Some(place);
            }
            if end {
                return Ok(Inbox { items, next: None });
            }
        }
        Ok(Inbox { items, next: after })
    }

    /// The directory as it counts for a request, but for who is kept out of it and who was called in to it.
    fn people_by(&self, delegations: &[Delegation], request: &Stored, now: Timestamp) -> Directory {
        let matter = Matter::from(&request.case.input);
        let mandates = mandates(delegations, &matter, now, &|amount, to| self.convert(amount, to));
        self.directory().for_matter(Standing { mandates, ..Standing::default() })
    }
}

fn awaits(request: &Stored, person: &PersonId, people: &Directory) -> bool {
    request.state.open_steps().iter().any(|waiting| request.state.awaits(person, waiting.step, people))
}
