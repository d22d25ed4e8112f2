//! Peers that lie: n8n's webhook and Odoo reset, refuse, redirect, hang and talk nonsense, sometimes after having done
//! what was asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use testkit::{Answer, Asked, Deed};

use crate::{
    chance::Chance,
    ground::{Ground, Stream, case},
};

/// As long as a peer hangs; everybody gives up long before.
const HANG: Duration = Duration::from_secs(30);

/// One lie in `rate` requests, of all kinds in turn; a caller that comes for the sixth time hears the truth.
fn lies(name: &str, rate: usize, lies: Vec<Deed>) -> impl Fn(&Asked) -> Deed + Send + Sync + 'static {
    let chance = Mutex::new(Chance::of(name));
    move |asked| {
        let mut chance = chance.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.time > 5 || chance.below(rate) > 0 { Deed::HONEST } else { lies[chance.below(lies.len())] }
    }
}

/// With and without the effect. A 200 with garbage says that a push has arrived, so it comes after the effect alone.
fn every_lie() -> Vec<Deed> {
    let both = [
        Answer::Reset,
        Answer::Status(500),
        Answer::Status(502),
        Answer::Redirect,
        Answer::ComeBack(1),
        Answer::Hang(HANG),
    ];
    let both = both.into_iter().flat_map(|answer| [Deed::takes_and(answer), Deed::refuses_with(answer)]);
    both.chain([Deed::takes_and(Answer::Garbage)]).collect()
}

#[test]
fn peers_that_lie_are_asked_until_it_is_true_and_never_twice_for_one_thing() -> Result<()> {
    case(async |ground: &Arc<Ground>| {
        ground.ears.behave(lies("LIES of n8n", 8, every_lie()));
        let mut of_odoo = every_lie();
        // Odoo's answers mean something, so a 200 that means nothing proves nothing.
        of_odoo.push(Deed::refuses_with(Answer::Garbage));
        ground.odoo_face.behave(lies("LIES of Odoo", 10, of_odoo));
        let before = (ground.ears.asked(), ground.odoo_face.asked());
        let ran = Stream("LIES").under(ground, Duration::from_secs(10), async { Ok(()) }).await;
        ground.ears.behave_well();
        ground.odoo_face.behave_well();
        let seen = ran?;
        ensure!(seen.red.is_empty(), "a lying peer is no reason to take no work: {seen}");
        ensure!(ground.ears.asked() - before.0 > Stream::events(), "n8n was never lied for");
        ensure!(ground.odoo_face.asked() > before.1, "Odoo was never asked");
        Ok(())
    })
}
