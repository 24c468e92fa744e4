//! The one thread that writes. Writes that wait while it commits share the next commit.

use std::thread::JoinHandle;

use rusqlite::Connection;
use thingport_model::port::entities::Write;
use thingport_model::port::error::PortError;
use tokio::sync::oneshot;

use super::apply::apply;
use super::fault::OpenError;
use super::query::fault;
use crate::jobs::{self, Jobs, NotPut, Waiting};

/// Queue of the writer; dropping it lets the writer finish what waits and end.
pub(super) struct Writer {
    jobs: Option<Jobs<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<(), PortError>>,
}

impl Writer {
    /// Starts the thread on a connection that nobody else uses.
    pub(super) fn start(connection: Connection) -> Result<Self, OpenError> {
        let (jobs, waiting) = jobs::line(WRITES_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("entities-write".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || work(&connection, &waiting))
            .map_err(|error| OpenError::Io(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Applies all writes or none; answers when that is durable.
    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<(), PortError> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        match jobs.put(Job { writes, answer }) {
            Ok(()) => answered.await.map_err(|_| ended())?,
            Err(NotPut::Full) => Err(PortError::Unavailable(format!(
                "{WRITES_WAITING_MAX} writes of entities wait already"
            ))),
            Err(NotPut::Ended) => Err(ended()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed already; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn work(connection: &Connection, waiting: &Waiting<Job>) {
    let mut broken = None;
    while let Some(first) = waiting.next() {
        let mut jobs = vec![first];
        jobs.extend(waiting.present().take(COMMIT_JOBS_MAX - 1));
        match &broken {
            None => broken = commit(connection, jobs).err(),
            // After a failed sync nobody knows what is on the disk: nothing more until a restart.
            Some(fault) => answer_all(jobs, fault),
        }
    }
}

/// Applies the jobs in one transaction, each all or none.
///
/// # Errors
/// Only when the disk failed, so that nothing may be written any more.
fn commit(connection: &Connection, jobs: Vec<Job>) -> Result<(), PortError> {
    let mut done = Vec::with_capacity(jobs.len());
    let mut refused = Vec::new();
    let outcome = connection.execute_batch("BEGIN IMMEDIATE").map_err(fault).and_then(|()| {
        for (at, job) in jobs.iter().enumerate() {
            match apply_all(connection, &job.writes) {
                Ok(()) => done.push(at),
                Err(fault) if is_of_the_job(&fault) => refused.push((at, fault)),
                Err(fault) => return Err(fault),
            }
        }
        connection.execute_batch("COMMIT").map_err(fault)
    });
    if outcome.is_err() && !connection.is_autocommit() {
        // If this fails too, the next BEGIN says so.
        let _ = connection.execute_batch("ROLLBACK");
    }
    let mut answers: Vec<_> = jobs.iter().map(|_| outcome.clone()).collect();
    if outcome.is_ok() {
        for (at, fault) in refused {
            answers[at] = Err(fault);
        }
    }
    for (job, answer) in jobs.into_iter().zip(answers) {
        // Who asked may have gone.
        let _ = job.answer.send(answer);
    }
    match outcome {
        Err(fault @ PortError::Failed(_)) => Err(fault),
        _ => Ok(()),
    }
}

fn apply_all(connection: &Connection, writes: &[Write]) -> Result<(), PortError> {
    connection.prepare_cached("SAVEPOINT job").and_then(|mut s| s.execute([])).map_err(fault)?;
    let applied = writes.iter().try_for_each(|write| apply(connection, write));
    if matches!(&applied, Err(fault) if is_of_the_job(fault)) {
        connection
            .prepare_cached("ROLLBACK TO job")
            .and_then(|mut s| s.execute([]))
            .map_err(fault)?;
    }
    if applied.as_ref().err().is_none_or(is_of_the_job) {
        connection.prepare_cached("RELEASE job").and_then(|mut s| s.execute([])).map_err(fault)?;
    }
    applied
}

/// Whether only this job is refused; every other fault ends the whole transaction.
const fn is_of_the_job(fault: &PortError) -> bool {
    matches!(fault, PortError::Conflict(_) | PortError::Corrupt(_))
}

fn answer_all(jobs: Vec<Job>, fault: &PortError) {
    for job in jobs {
        let _ = job.answer.send(Err(fault.clone()));
    }
}

fn ended() -> PortError {
    PortError::Failed("the writer of entities has ended".to_owned())
}

/// `entity_writes_waiting_max`: writes that may wait for the writer; further ones are refused.
const WRITES_WAITING_MAX: usize = 4_096;
/// Writes that share a commit.
const COMMIT_JOBS_MAX: usize = 256;
const STACK_BYTES: usize = 1 << 20;
