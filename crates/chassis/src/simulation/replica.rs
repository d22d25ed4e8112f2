//! One replica of the service under test: the real loops over a store and a bus that can stop.

use std::{path::Path, sync::Arc};

use contracts::{
    EventPayload,
    events::{DeadLettered, StockRanLow},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Ground,
    bus::{ModelBus, SteppedBus},
    far_end::{Courier, PEERS, Peer},
    steps::Steps,
};
use crate::{
    bus::{Bus, InProcessBus},
    cx::Cx,
    inbox::{HandleError, Intake},
    relay::{self, Breakers, RelayTools, RetrySchedule},
    service::Service,
    store::{NewEffect, Store, StoreOptions, Tx},
};

/// A replica that runs.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) cx: Cx,
    pub(super) steps: Steps,
    pub(super) gone: CancellationToken,
}

impl Replica {
    /// Starts it on the files that its forerunners left.
    pub(super) async fn start(ground: &Ground, number: usize) -> Self {
        let steps = Steps::new(&ground.world, number);
        let store = open(ground.folder.path(), ground).await;
        store.step_by_step(steps.clone());
        let cx = Cx::over(store, ground.metrics.clone());
        let replica = Self { cx, steps, gone: CancellationToken::new() };
        replica.run(ground).await;
        replica
    }

    fn bus(&self, ground: &Ground) -> Bus {
        let (steps, clock) = (self.steps.clone(), ground.clock.clone());
        match &ground.broker {
            Some(broker) => Arc::new(ModelBus { broker: Arc::clone(broker), steps, clock }),
            None => Arc::new(SteppedBus { inner: Arc::new(InProcessBus::default()), steps }),
        }
    }

    /// As the host does; what never ends here is held by its steps when the replica is gone.
    async fn run(&self, ground: &Ground) {
        let (bus, stop) = (self.bus(ground), CancellationToken::new());
        let schedule = Arc::new(RetrySchedule::from_seconds(&SCHEDULE));
        let subscriptions = service(&self.steps).subscriptions.into();
        let intake = Intake::new(self.cx.clone(), subscriptions, Arc::clone(&schedule));
        tokio::spawn(intake.clone().run_retries(stop.clone()));
        let consumer = Arc::clone(&bus);
        let subscribed = async move { consumer.consume(intake, CancellationToken::new()).await };
        match &ground.broker {
            Some(_) => drop(tokio::spawn(subscribed)),
            None => subscribed.await,
        }
        let tools = RelayTools { cx: self.cx.clone(), breakers: Arc::new(Breakers::default()), schedule };
        tokio::spawn(relay::run_events(tools.clone(), bus, stop.clone()));
        for peer in PEERS {
            let (far_end, steps) = (Arc::clone(&ground.far_end), self.steps.clone());
            let courier = Arc::new(Courier { peer, far_end, steps, flaw: ground.flaw });
            tokio::spawn(relay::run_effects(tools.clone(), courier, stop.clone()));
        }
    }
}

/// More attempts than a run has faults, so that whatever is given up was refused.
const SCHEDULE: [f64; 20] =
    [0., 1., 5., 10., 20., 30., 60., 60., 60., 60., 60., 60., 60., 60., 60., 60., 60., 60., 60., 60.];

/// The store of the service, with nothing that stops it.
pub(super) async fn open(folder: &Path, ground: &Ground) -> Store {
    let url = format!("sqlite:{}", folder.display());
    let options = StoreOptions { url, owner_url: None, schema: "probe", max_connections: 3 };
    Store::open(&options, &[], ground.clock.clone(), ground.ids.clone()).await.unwrap()
}

fn service(steps: &Steps) -> Service {
    let steps = steps.clone();
    Service::new("probe", "Probe", "The service of the simulation.")
        .on::<StockRanLow>(move |_, tx, event| {
            let steps = steps.clone();
            Box::pin(async move {
                steps.pass("handle").map_err(|_| HandleError::Heal("simulated".into()))?;
                hear(tx, &event.payload).await
            })
        })
        .on::<DeadLettered>(|_, tx, event| {
            Box::pin(async move {
                tx.audit("service:probe", "told", &event.payload.row_id, json!({})).await?;
                Ok(())
            })
        })
}

/// One effect of each kind, and a digest that is the same as one that waits.
async fn hear(tx: &mut Tx, event: &StockRanLow) -> Result<(), HandleError> {
    let (subject, number) = (event.subject(), super::number_of(event));
    tx.audit("service:probe", "heard", &subject, json!(number)).await?;
    for peer in PEERS {
        let effect = NewEffect::new(peer.name(), &subject, &json!(number))?.about(format!("{subject}/{number}"));
        let effect = if peer == Peer::Digest { effect.coalesce(&subject) } else { effect };
        tx.effect(effect).await?;
    }
    Ok(())
}
