//! From names to addresses that may be called.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::reach::Reach;

/// Asks the system for the addresses of a name and leaves out those that may not be called.
#[derive(Clone)]
pub(crate) struct Resolver {
    reach: Arc<Reach>,
    places: Arc<Semaphore>,
}

/// Every address of a name is out of reach; this is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfReach(pub(crate) IpAddr);

/// The name has no address.
#[derive(Debug)]
pub(crate) struct Unresolved(io::Error);

impl Resolver {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        Self { reach, places: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

type Found = std::vec::IntoIter<SocketAddr>;
type Error = Box<dyn std::error::Error + Send + Sync>;

impl Service<Name> for Resolver {
    type Response = Found;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Found, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { reach, places } = self.clone();
        Box::pin(async move {
            // The place goes with the thread: a caller that gives up does not end a lookup.
            let place = places.acquire_owned().await?;
            let look_up = move || {
                let found = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
                drop(place);
                found
            };
            let found = tokio::task::spawn_blocking(look_up).await?.map_err(Unresolved)?;
            within(&reach, found)
        })
    }
}

/// What of `found` may be called.
fn within(reach: &Reach, found: Vec<SocketAddr>) -> Result<Found, Error> {
    let first = found.first().map(SocketAddr::ip);
    let left: Vec<_> = found.into_iter().filter(|it| reach.permits(it.ip())).collect();
    match first {
        Some(ip) if left.is_empty() => Err(OutOfReach(ip).into()),
        Some(_) => Ok(left.into_iter()),
        None => Err(Unresolved(io::Error::other("no address")).into()),
    }
}

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} may not be called", self.0)
    }
}

impl std::error::Error for OutOfReach {}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name has no address: {}", self.0)
    }
}

impl std::error::Error for Unresolved {}

/// Names looked up at once (`name_lookups_max`), each of which keeps a thread; the next one waits.
const LOOKUPS_MAX: usize = 16;
