//! Threads of the ledger, each with a name that shows in a list of threads.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread.
pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(run)
}
