//! Forwarding: one task for each target reads what is due for it, hands it over, and passes its place.
//!
//! A target that does not take anything is tried again for ever, with growing pauses; what it will
//! never take is set aside, so that the rest goes on. When the settings of a target change, its task
//! begins again where it was. When the house stops, what is under way may finish for a moment; the rest
//! is in the log for the next start.

mod body;
#[cfg(feature = "kafka")]
mod kafka;
mod mqtt;
mod webhook;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thingport_core::clock::Entropy;
use thingport_core::forwarding::{Forwarding, Message, Target};
use thingport_model::port::trail::{FollowerId, Place};
use thingport_model::profile::forwarding::Destination;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::webhook::Webhooks;

/// Hands messages to one target, in order.
#[async_trait]
trait Outlet: Send {
    /// Hands over all of `messages`, or says how far it came and what was in the way.
    async fn deliver(&mut self, messages: &[Message]) -> Result<(), Undelivered>;

    /// Whatever is to be done while there is nothing to hand over; ends never. May be dropped at any
    /// time.
    async fn idle(&mut self) {
        core::future::pending().await
    }
}

/// What was in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Undelivered {
    /// So many messages, the first ones, were handed over.
    done: usize,
    trouble: Trouble,
    /// What exactly, without secrets.
    why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The target takes nothing now.
    Later,
    /// It will never take the first message that was not handed over.
    ThisOne,
    /// It will never take some message among those that were not handed over.
    Someone,
}

/// The tasks. Dropping it ends them where they are.
pub struct Forwarder {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Begins to forward. To be called within the runtime, when the trail is set.
    #[must_use]
    pub fn begin(
        forwarding: Arc<Forwarding>,
        webhooks: Arc<Webhooks>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let office = Office { forwarding, webhooks, entropy, tasks: HashMap::new() };
        Self { stop, task: tokio::spawn(office.run(stopped)) }
    }

    /// Ends; what is under way may finish within a moment.
    pub async fn end(mut self) {
        self.stop.send_replace(true);
        // It ends by itself, each of its tasks within a bounded time.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who keeps one task for each target.
struct Office {
    forwarding: Arc<Forwarding>,
    webhooks: Arc<Webhooks>,
    entropy: Arc<dyn Entropy>,
    tasks: HashMap<FollowerId, Task>,
}

struct Task {
    target: Arc<Target>,
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl Office {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let refreshed = self.forwarding.refresh().await;
            let pause = match refreshed {
                Ok(targets) => {
                    self.arrange(targets).await;
                    Duration::MAX
                }
                Err(error) => {
                    tracing::warn!(%error, "the targets of forwarding cannot be looked at yet");
                    LOOK_AGAIN
                }
            };
            tokio::select! {
                () = self.forwarding.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        let tasks: Vec<Task> = self.tasks.drain().map(|(_, task)| task).collect();
        futures_util::future::join_all(tasks.into_iter().map(Task::end)).await;
    }

    /// Tasks for exactly these targets. One that was changed begins again, after its task ended.
    async fn arrange(&mut self, targets: Vec<(Arc<Target>, Place)>) {
        let wanted: HashMap<FollowerId, &Arc<Target>> =
            targets.iter().map(|(target, _)| (target.follower, target)).collect();
        let is_same = |id: &FollowerId, task: &mut Task| {
            wanted.get(id).is_some_and(|it| Arc::ptr_eq(it, &task.target))
        };
        let old: Vec<FollowerId> = self
            .tasks
            .iter_mut()
            .filter_map(|(id, task)| (!is_same(id, task)).then_some(*id))
            .collect();
        let old: Vec<Task> = old.iter().filter_map(|id| self.tasks.remove(id)).collect();
        futures_util::future::join_all(old.into_iter().map(Task::end)).await;
        for (target, place) in targets {
            let (webhooks, entropy) = (&self.webhooks, &self.entropy);
            self.tasks.entry(target.follower).or_insert_with(|| {
                let (stop, stopped) = watch::channel(false);
                let round = Round {
                    forwarding: Arc::clone(&self.forwarding),
                    outlet: outlet(&target, webhooks),
                    entropy: Arc::clone(entropy),
                    target: Arc::clone(&target),
                    size_max: size_max(&target.spec.destination),
                    size: size_max(&target.spec.destination),
                    failures: 0,
                };
                Task { target, stop, handle: tokio::spawn(round.run(place, stopped)) }
            });
        }
    }
}

impl Task {
    async fn end(self) {
        self.stop.send_replace(true);
        let mut handle = self.handle;
        if tokio::time::timeout(GRACE, &mut handle).await.is_err() {
            handle.abort();
        }
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.tasks.values().for_each(|task| task.handle.abort());
    }
}

fn outlet(target: &Target, webhooks: &Arc<Webhooks>) -> Box<dyn Outlet> {
    let lane = target.follower.0;
    match &target.spec.destination {
        Destination::Webhook(it) => {
            Box::new(webhook::WebhookOutlet::new(Arc::clone(webhooks), lane, it.clone()))
        }
        Destination::Mqtt(it) => {
            Box::new(mqtt::MqttOutlet::new(Arc::clone(webhooks), lane, it.clone()))
        }
        #[cfg(feature = "kafka")]
        Destination::Kafka(it) => {
            Box::new(kafka::KafkaOutlet::new(Arc::clone(webhooks), it.clone()))
        }
        #[cfg(not(feature = "kafka"))]
        Destination::Kafka(_) => Box::new(WithoutKafka),
    }
}

/// Messages that are read and handed over at once.
fn size_max(destination: &Destination) -> usize {
    match destination {
        Destination::Webhook(it) => usize::from(it.batch_max).max(1),
        Destination::Kafka(_) => 1_000,
        Destination::Mqtt(_) => 200,
    }
}

/// What stands for Kafka in a build without it.
#[cfg(not(feature = "kafka"))]
struct WithoutKafka;

#[cfg(not(feature = "kafka"))]
#[async_trait]
impl Outlet for WithoutKafka {
    async fn deliver(&mut self, _: &[Message]) -> Result<(), Undelivered> {
        let why = "this build has no Kafka; build with the feature kafka".to_owned();
        Err(Undelivered { done: 0, trouble: Trouble::Later, why })
    }
}

/// The task of one target.
struct Round {
    forwarding: Arc<Forwarding>,
    outlet: Box<dyn Outlet>,
    entropy: Arc<dyn Entropy>,
    target: Arc<Target>,
    size_max: usize,
    /// Fewer than that, while a message is looked for that the target will never take.
    size: usize,
    /// In a row.
    failures: u32,
}

impl Round {
    async fn run(mut self, mut place: Place, mut stopped: watch::Receiver<bool>) {
        loop {
            let next = {
                let due = self.forwarding.next(&self.target, place, self.size_max);
                tokio::select! {
                    due = due => due,
                    () = self.outlet.idle() => continue,
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                }
            };
            let batch = match next {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::debug!(%error, "nothing can be read for a target now");
                    tokio::select! {
                        () = tokio::time::sleep(LOOK_AGAIN) => continue,
                        _ = stopped.wait_for(|stopped| *stopped) => return,
                    }
                }
            };
            if self.hand_over(&batch.messages, &mut stopped).await.is_none() {
                return;
            }
            self.forwarding.passed(&self.target, batch.next, 0);
            place = batch.next;
        }
    }

    /// Hands over all of them, however long it takes; none when it was stopped before.
    async fn hand_over(
        &mut self,
        mut rest: &[Message],
        stopped: &mut watch::Receiver<bool>,
    ) -> Option<()> {
        while !rest.is_empty() {
            if *stopped.borrow() {
                return None;
            }
            let part = rest.get(..self.size).unwrap_or(rest);
            let outcome = self.outlet.deliver(part).await;
            let done = outcome.as_ref().map_or_else(|it| it.done.min(part.len()), |()| part.len());
            self.delivered(part.get(..done).unwrap_or_default());
            rest = rest.get(done..).unwrap_or_default();
            let Err(Undelivered { trouble, why, .. }) = outcome else {
                self.size = (self.size * 2).min(self.size_max);
                continue;
            };
            match trouble {
                Trouble::Someone if part.len() - done > 1 => {
                    self.size = (part.len() - done) / 2;
                }
                Trouble::Someone | Trouble::ThisOne => {
                    if let Some((message, others)) = rest.split_first() {
                        self.forwarding.set_aside(&self.target, message, &why);
                        self.forwarding.passed(&self.target, message.next, 0);
                        rest = others;
                    }
                }
                Trouble::Later => {
                    self.forwarding.failed(&self.target, &why);
                    let pause = self.pause();
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stopped.wait_for(|stopped| *stopped) => return None,
                    }
                }
            }
        }
        Some(())
    }

    fn delivered(&mut self, messages: &[Message]) {
        if let Some(last) = messages.last() {
            self.failures = 0;
            self.forwarding.passed(&self.target, last.next, messages.len() as u64);
        }
    }

    /// Half a second, doubled each time up to a minute, and shortened by up to a half: targets that
    /// failed together shall not be asked together.
    fn pause(&mut self) -> Duration {
        let full_ms = (PAUSE_MS << self.failures.min(16)).min(PAUSE_MAX_MS);
        self.failures = self.failures.saturating_add(1);
        let mut random = [0; 8];
        self.entropy.fill(&mut random);
        Duration::from_millis(full_ms - u64::from_le_bytes(random) % (full_ms / 2))
    }
}

/// How long what is under way may take when a task is to end.
const GRACE: Duration = Duration::from_millis(1_500);
/// When the store could not be read.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The first pause after a failure, and the longest.
const PAUSE_MS: u64 = 500;
const PAUSE_MAX_MS: u64 = 60_000;
