//! What is to be kept of persistent calls and is not durable yet.
//!
//! One writer takes all of it at once. A step stays here until it is durable, so that a device whose
//! answer is on its way to the disk is not acknowledged early, whatever connection it comes by.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use thingport_model::id::{DeviceId, RpcId};
use thingport_model::port::entities::Write;
use thingport_model::port::error::PortError;
use thingport_model::rpc::{KeptProgress, PersistentCall};
use tokio::sync::{Notify, oneshot};

/// Bounded by the bound of pending calls: each has at most one entry.
#[derive(Default)]
pub(super) struct Unsaved {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Default)]
struct Queue {
    created: Vec<Created>,
    steps: BTreeMap<RpcId, Step>,
    changes: u64,
}

/// A new persistent call.
pub(super) struct Created {
    pub(super) call: PersistentCall,
    pub(super) done: oneshot::Sender<Result<(), PortError>>,
}

struct Step {
    device: DeviceId,
    progress: KeptProgress,
    /// Tells whether it changed while it was written.
    change: u64,
    waiting: Vec<oneshot::Sender<bool>>,
}

/// What is written together.
pub(super) struct Batch {
    pub(super) created: Vec<Created>,
    steps: Vec<(RpcId, u64, KeptProgress)>,
}

impl Batch {
    /// The steps, to be written.
    pub(super) fn steps(&self) -> impl Iterator<Item = Write> {
        self.steps.iter().map(|(id, _, progress)| Write::CallProgress(*id, progress.clone()))
    }
}

impl Unsaved {
    pub(super) fn create(&self, call: PersistentCall) -> oneshot::Receiver<Result<(), PortError>> {
        let (done, is_done) = oneshot::channel();
        self.queue.lock().created.push(Created { call, done });
        self.more.notify_one();
        is_done
    }

    /// The newest replaces older ones that nobody saw.
    pub(super) fn step(&self, device: DeviceId, id: RpcId, progress: KeptProgress) {
        let mut queue = self.queue.lock();
        queue.changes += 1;
        let change = queue.changes;
        let waiting = queue.steps.remove(&id).map(|step| step.waiting).unwrap_or_default();
        queue.steps.insert(id, Step { device, progress, change, waiting });
        drop(queue);
        self.more.notify_one();
    }

    /// Tells when everything known of a device is durable; none if it is.
    pub(super) fn settled(&self, device: DeviceId) -> Option<Vec<oneshot::Receiver<bool>>> {
        let mut queue = self.queue.lock();
        let steps = queue.steps.values_mut().filter(|step| step.device == device);
        let waits = steps.map(|step| {
            let (sender, receiver) = oneshot::channel();
            step.waiting.push(sender);
            receiver
        });
        let waits: Vec<_> = waits.collect();
        (!waits.is_empty()).then_some(waits)
    }

    /// Waits until there may be something to write.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }

    /// What is to be written now; nothing if all is durable.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut queue = self.queue.lock();
        let most = queue.created.len().min(BATCH_MAX);
        let created: Vec<_> = queue.created.drain(..most).collect();
        let steps = queue.steps.iter().take(BATCH_MAX);
        let steps: Vec<_> =
            steps.map(|(id, step)| (*id, step.change, step.progress.clone())).collect();
        let is_empty = created.is_empty() && steps.is_empty();
        (!is_empty).then_some(Batch { created, steps })
    }

    /// The steps of a batch are durable.
    pub(super) fn kept(&self, batch: &Batch) {
        let mut queue = self.queue.lock();
        for (id, change, _) in &batch.steps {
            if queue.steps.get(id).is_some_and(|step| step.change == *change) {
                let waiting = queue.steps.remove(id).map(|step| step.waiting).unwrap_or_default();
                tell(waiting, true);
            }
        }
    }

    /// The steps of a batch could not be written. They stay, but nobody waits any longer.
    pub(super) fn failed(&self, batch: &Batch) {
        let mut queue = self.queue.lock();
        for (id, ..) in &batch.steps {
            let waiting = queue.steps.get_mut(id).map(|step| core::mem::take(&mut step.waiting));
            tell(waiting.unwrap_or_default(), false);
        }
    }
}

fn tell(waiting: Vec<oneshot::Sender<bool>>, is_kept: bool) {
    for one in waiting {
        // The connection that waited may have gone.
        let _ = one.send(is_kept);
    }
}

/// Calls and steps that are written together.
const BATCH_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use thingport_model::id::NIL;
    use thingport_model::rpc::CallStatus;
    use uuid::Uuid;

    use super::*;

    const DEVICE: DeviceId = DeviceId(NIL);

    fn step(unsaved: &Unsaved, status: CallStatus) {
        unsaved.step(DEVICE, RpcId(Uuid::from_u128(1)), KeptProgress::of(status));
    }

    fn told(waits: &mut Option<Vec<oneshot::Receiver<bool>>>) -> Option<bool> {
        waits.as_mut()?.first_mut()?.try_recv().ok()
    }

    #[test]
    fn a_device_waits_until_the_newest_step_is_durable() {
        let unsaved = Unsaved::default();
        assert!(unsaved.settled(DEVICE).is_none() && unsaved.take().is_none());
        step(&unsaved, CallStatus::Delivered);
        let batch = unsaved.take().expect("one step");
        // The answer comes while the step before it is written.
        step(&unsaved, CallStatus::Successful);
        let mut waits = unsaved.settled(DEVICE);
        unsaved.kept(&batch);
        assert_eq!(told(&mut waits), None);
        // A repetition of the answer on another connection waits as well.
        let mut repeated = unsaved.settled(DEVICE);
        let batch = unsaved.take().expect("the newer step");
        assert_eq!(batch.steps().count(), 1);
        unsaved.kept(&batch);
        assert_eq!((told(&mut waits), told(&mut repeated)), (Some(true), Some(true)));
        assert!(unsaved.settled(DEVICE).is_none() && unsaved.take().is_none());
    }

    #[test]
    fn a_failed_write_is_told_and_tried_again() {
        let unsaved = Unsaved::default();
        step(&unsaved, CallStatus::Successful);
        let mut waits = unsaved.settled(DEVICE);
        let batch = unsaved.take().expect("one step");
        unsaved.failed(&batch);
        assert_eq!(told(&mut waits), Some(false));
        // It is not forgotten: whoever asks again waits again.
        let mut waits = unsaved.settled(DEVICE);
        let batch = unsaved.take().expect("the same step");
        unsaved.kept(&batch);
        assert_eq!(told(&mut waits), Some(true));
    }
}
