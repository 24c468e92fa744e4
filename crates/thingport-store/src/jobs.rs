//! A bounded line of work in front of threads. It takes memory for what waits in it alone: the bounded
//! channels of the standard library take all of theirs when they are made, 24 bytes for each of
//! 65,536 places here.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Where jobs are put; dropping it lets the threads finish what waits and end.
pub(crate) struct Jobs<T>(Arc<Line<T>>);

/// Where a thread takes jobs, the oldest first; each has its own.
pub(crate) struct Waiting<T>(Arc<Line<T>>);

struct Line<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    max: usize,
}

struct State<T> {
    jobs: VecDeque<T>,
    /// No more can come.
    is_closed: bool,
    takers: usize,
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
    let state = State { jobs: VecDeque::new(), is_closed: false, takers: 1 };
    let line = Arc::new(Line { state: Mutex::new(state), changed: Condvar::new(), max });
    (Jobs(Arc::clone(&line)), Waiting(line))
}

impl<T> Jobs<T> {
    /// Puts a job in line.
    pub(crate) fn put(&self, job: T) -> Result<(), NotPut> {
        let mut state = self.0.state.lock();
        if state.takers == 0 {
            return Err(NotPut::Ended);
        }
        if state.jobs.len() >= self.0.max {
            return Err(NotPut::Full);
        }
        state.jobs.push_back(job);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl<T> Drop for Jobs<T> {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl<T> Waiting<T> {
    /// The next job, waited for; none when no more can come.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            self.0.changed.wait(&mut state);
        }
    }

    /// The jobs that wait already.
    pub(crate) fn present(&self) -> impl Iterator<Item = T> {
        core::iter::from_fn(|| self.0.state.lock().take())
    }
}

impl<T> Clone for Waiting<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().takers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.takers -= 1;
        // Nobody will do them: who waits for them is to hear of it.
        let undone =
            if state.takers == 0 { core::mem::take(&mut state.jobs) } else { VecDeque::new() };
        drop(state);
        drop(undone);
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Option<T> {
        let job = self.jobs.pop_front();
        if self.jobs.is_empty() {
            self.jobs.shrink_to(KEPT); // what a burst needed is given back
        }
        job
    }
}

/// Places that an empty line keeps.
const KEPT: usize = 64;

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
    fn a_job_reaches_whoever_waits_and_the_end_reaches_all() {
        let (jobs, waiting) = line(3);
        let takers: Vec<_> = [waiting.clone(), waiting]
            .map(|it| std::thread::spawn(move || core::iter::from_fn(|| it.next()).count()))
            .into();
        (0..100).for_each(|it| while jobs.put(it) == Err(NotPut::Full) {});
        drop(jobs);
        let taken = takers.into_iter().map(|taker| taker.join().expect("it counts"));
        assert_eq!(taken.sum::<usize>(), 100);
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_nothing_more_is_put_in_line() {
        let (jobs, waiting) = line(3);
        let (held, other) = (Arc::new(()), waiting.clone());
        drop(waiting);
        assert_eq!(jobs.put(Arc::clone(&held)), Ok(()));
        drop(other);
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(jobs.put(held), Err(NotPut::Ended));
    }
}
