//! The threads that answer questions, each with its own connection that cannot write.

use std::path::Path;
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};
use thingport_model::port::error::PortError;
use tokio::sync::oneshot;

use super::fault::OpenError;
use super::schema;
use crate::jobs::{self, Jobs, NotPut, Waiting};

/// Queue of the readers; dropping it lets them finish what waits and end.
pub(super) struct Readers {
    questions: Option<Jobs<Question>>,
    threads: Vec<JoinHandle<()>>,
}

type Question = Box<dyn FnOnce(&Connection) + Send>;

impl Readers {
    /// Starts the threads on a database that exists already.
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let (questions, waiting) = jobs::line(READS_WAITING_MAX);
        let mut threads = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let connection = connect(path)?;
            let waiting = waiting.clone();
            let thread = std::thread::Builder::new()
                .name("entities-read".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || work(&connection, &waiting))
                .map_err(|error| OpenError::Io(error.to_string()))?;
            threads.push(thread);
        }
        Ok(Self { questions: Some(questions), threads })
    }

    /// Asks on one of the threads.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |connection| {
            // Who asked may have gone.
            let _ = answer.send(question(connection));
        });
        let questions = self.questions.as_ref().ok_or_else(ended)?;
        match questions.put(question) {
            Ok(()) => answered.await.map_err(|_| ended())?,
            Err(NotPut::Full) => Err(PortError::Unavailable(format!(
                "{READS_WAITING_MAX} reads of entities wait already"
            ))),
            Err(NotPut::Ended) => Err(ended()),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            // A panic of the thread was printed already; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    schema::tune(&connection)?;
    Ok(connection)
}

fn work(connection: &Connection, waiting: &Waiting<Question>) {
    while let Some(question) = waiting.next() {
        question(connection);
    }
}

fn ended() -> PortError {
    PortError::Failed("the readers of entities have ended".to_owned())
}

const READERS: usize = 2;
/// `entity_reads_waiting_max`: questions that may wait for a reader; further ones are refused.
const READS_WAITING_MAX: usize = 65_536;
const STACK_BYTES: usize = 1 << 20;
