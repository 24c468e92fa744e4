//! A bounded line of work in front of threads. It takes memory for what waits in it alone: the bounded
//! channels of the standard library take all of theirs when they are made, 24 bytes for each of
//! 65,536 places here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Where jobs are put; dropping it lets the threads finish what waits and end.
pub(crate) struct Jobs<T> {
    sender: Sender<T>,
    waiting: Arc<AtomicUsize>,
    max: usize,
}

/// Where threads take jobs, the oldest first.
pub(crate) struct Waiting<T> {
    receiver: Receiver<T>,
    waiting: Arc<AtomicUsize>,
}

/// Why a job was not put in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotPut {
    /// As many wait as may.
    Full,
    /// Nobody takes jobs any more.
    Ended,
}

/// A line in which at most `max` jobs wait.
pub(crate) fn line<T>(max: usize) -> (Jobs<T>, Waiting<T>) {
    let (sender, receiver) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Jobs { sender, waiting: Arc::clone(&waiting), max }, Waiting { receiver, waiting })
}

impl<T> Jobs<T> {
    /// Puts a job in line.
    pub(crate) fn put(&self, job: T) -> Result<(), NotPut> {
        // Counted before it is put, so that it is never taken before it was counted.
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(NotPut::Full);
        }
        self.sender.send(job).map_err(|_| NotPut::Ended)
    }
}

impl<T> Waiting<T> {
    /// The next job; none when no more can come.
    pub(crate) fn next(&self) -> Option<T> {
        let job = self.receiver.recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(job)
    }

    /// The jobs that wait already.
    pub(crate) fn present(&self) -> impl Iterator<Item = T> {
        self.receiver.try_iter().inspect(|_| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_wait_as_may_and_each_that_is_taken_makes_room() {
        let (jobs, waiting) = line(3);
        assert_eq!([1, 2, 3].map(|it| jobs.put(it)), [Ok(()); 3]);
        assert_eq!(jobs.put(4), Err(NotPut::Full));
        assert_eq!(waiting.next(), Some(1));
        assert_eq!([5, 6].map(|it| jobs.put(it)), [Ok(()), Err(NotPut::Full)]);
        assert_eq!(waiting.present().take(2).collect::<Vec<_>>(), [2, 3]);
        assert_eq!([7, 8, 9].map(|it| jobs.put(it)), [Ok(()), Ok(()), Err(NotPut::Full)]);
        drop(jobs);
        assert_eq!([(); 4].map(|()| waiting.next()), [Some(5), Some(7), Some(8), None]);
    }

    #[test]
    fn nothing_is_put_in_line_when_nobody_takes_it() {
        let (jobs, waiting) = line(3);
        drop(waiting);
        assert_eq!(jobs.put(1), Err(NotPut::Ended));
    }
}
