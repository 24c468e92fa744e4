//! Who answers questions. Looking into chunks may read a disk, so there are threads for it; but most of
//! what is asked lies in memory or in the page cache, and then going to another thread and back takes
//! longer than the answer. So small questions are answered in place, by one caller at a time, and for a
//! while not at all after one of them took long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thingport_model::port::error::PortError;

use super::Shared;
use super::thread::spawn;
use crate::book::Book;
use crate::jobs::{self, Jobs, NotPut, Waiting};
use crate::shelf::ShelfError;

/// The line in front of the readers, and the place beside it.
pub(super) struct Readers {
    shared: Arc<Shared>,
    line: Mutex<Option<Jobs<Question>>>,
    place: Place,
}

/// Where one small question at a time is answered by whoever asks it: a disk that is slow never holds
/// up more than one thread of the runtime, and that one rarely.
#[derive(Default)]
struct Place {
    taken: AtomicBool,
    /// Questions that go to the readers until the next is answered in place.
    detour: AtomicU32,
}

/// The place, while somebody has it.
struct Turn<'a> {
    place: &'a Place,
    since: Instant,
}

type Question = Box<dyn FnOnce(&Book) + Send>;

impl Readers {
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (sender, receiver) = jobs::line(shared.config.reads_waiting_max);
        let threads = (0..shared.config.readers.max(1)).map(|number| {
            let (shared, receiver) = (Arc::clone(shared), receiver.clone());
            spawn(&format!("ledger-reader-{number}"), move || run(&shared, &receiver))
        });
        let threads = threads.collect::<Result<_, _>>()?;
        let line = Mutex::new(Some(sender));
        Ok((Self { shared: Arc::clone(shared), line, place: Place::default() }, threads))
    }

    /// Answers a small question, in place if it is free.
    pub(super) async fn ask_small<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Book) -> Result<T, ShelfError> + Send + 'static,
    ) -> Result<T, PortError> {
        let open = self.line.lock().is_some();
        match self.place.turn().filter(|_| open) {
            Some(_turn) => Ok(question(&self.shared.book)?),
            None => self.ask(question).await,
        }
    }

    /// Lets a reader answer.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Book) -> Result<T, ShelfError> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let question: Question = Box::new(move |book| {
            let _ = answer.send(question(book)); // nobody waits any more
        });
        self.put(question)?;
        let closed = |_| PortError::Unavailable("the ledger is closed".to_owned());
        Ok(answered.await.map_err(closed)??)
    }

    /// No more questions.
    pub(super) fn close(&self) {
        self.line.lock().take();
    }

    fn put(&self, question: Question) -> Result<(), PortError> {
        let sender = self.line.lock();
        let sent = sender.as_ref().map(|sender| sender.put(question));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(NotPut::Full)) => {
                Err(PortError::Unavailable("reads_waiting_max questions wait already".to_owned()))
            }
            Some(Err(NotPut::Ended)) | None => {
                Err(PortError::Unavailable("the ledger is closed".to_owned()))
            }
        }
    }
}

impl Place {
    fn turn(&self) -> Option<Turn<'_>> {
        let less = |left: u32| left.checked_sub(1);
        let detour = self.detour.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        let free = !detour && !self.taken.swap(true, Ordering::Acquire);
        free.then(|| Turn { place: self, since: Instant::now() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() > LONG {
            self.place.detour.store(DETOUR, Ordering::Relaxed);
        }
        self.place.taken.store(false, Ordering::Release);
    }
}

fn run(shared: &Shared, questions: &Waiting<Question>) {
    while let Some(question) = questions.next() {
        question(&shared.book);
    }
}

/// What no question takes whose data is in memory or in the page cache.
const LONG: Duration = Duration::from_micros(500);
/// Questions that go to the readers after one that took so long.
const DETOUR: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_answered_in_place_and_none_for_a_while_after_a_slow_one() {
        let place = Place::default();
        let turn = place.turn();
        assert!(turn.is_some() && place.turn().is_none());
        drop(turn);
        let mut slow = place.turn().expect("nobody has it");
        slow.since = slow.since.checked_sub(2 * LONG).expect("a machine that runs");
        drop(slow);
        let refused = (0..=DETOUR).take_while(|_| place.turn().is_none()).count();
        assert_eq!(refused, DETOUR as usize);
    }
}
