//! Threads that answer questions, because looking into chunks may read a disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use thingport_model::port::error::PortError;

use super::Shared;
use crate::book::Book;
use crate::shelf::ShelfError;

/// The line in front of the readers.
pub(super) struct Readers(Mutex<Option<SyncSender<Question>>>);

type Question = Box<dyn FnOnce(&Book) + Send>;

impl Readers {
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (sender, receiver) = sync_channel(shared.config.reads_waiting_max);
        let receiver = Arc::new(Mutex::new(receiver));
        let threads = (0..shared.config.readers.max(1)).map(|number| {
            let (shared, receiver) = (Arc::clone(shared), Arc::clone(&receiver));
            super::open::spawn(&format!("ledger-reader-{number}"), move || run(&shared, &receiver))
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok((Self(Mutex::new(Some(sender))), threads))
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
        self.0.lock().take();
    }

    fn put(&self, question: Question) -> Result<(), PortError> {
        let sender = self.0.lock();
        let sent = sender.as_ref().map(|sender| sender.try_send(question));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => {
                Err(PortError::Unavailable("reads_waiting_max questions wait already".to_owned()))
            }
            Some(Err(TrySendError::Disconnected(_))) | None => {
                Err(PortError::Unavailable("the ledger is closed".to_owned()))
            }
        }
    }
}

fn run(shared: &Shared, questions: &Mutex<Receiver<Question>>) {
    loop {
        let next = questions.lock().recv();
        let Ok(question) = next else { return };
        question(&shared.book);
    }
}
