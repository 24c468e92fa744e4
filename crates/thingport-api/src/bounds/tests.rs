//! Requests whose clients leave, whose time is over, or that panic.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::*;
use crate::config::ApiConfig;
use crate::fake::World;

/// A handler with a write that is slow and something that follows from it.
struct Slow {
    /// Writes that begin.
    begun: AtomicUsize,
    /// Writes that may become durable.
    durable: Semaphore,
    /// Writes whose after-effects were seen to.
    settled: AtomicUsize,
}

impl Slow {
    fn new() -> Arc<Self> {
        let (begun, settled) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { begun, durable: Semaphore::new(0), settled })
    }

    fn routes(self: &Arc<Self>, api: &Arc<Api>) -> Router {
        let slow = Arc::clone(self);
        let write = move || async move {
            slow.begun.fetch_add(1, Ordering::SeqCst);
            slow.durable.acquire().await.expect("open").forget();
            slow.settled.fetch_add(1, Ordering::SeqCst);
            "done"
        };
        Router::new()
            .route("/write", post(write))
            .route(
                "/panic",
                post(|| async { assert!(Vec::<u8>::new().pop().is_some(), "on purpose") }),
            )
            .layer(from_fn_with_state(Arc::clone(api), bounded))
    }

    /// Lets one write through and waits for what follows.
    async fn finish(&self, settled: usize) {
        self.durable.add_permits(1);
        for _ in 0..TURNS_MAX {
            if self.settled.load(Ordering::SeqCst) == settled {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("nothing followed");
    }
}

fn request(path: &str) -> axum::http::Request<Body> {
    axum::http::Request::post(path).body(Body::empty()).expect("a request")
}

async fn text(answer: Response) -> String {
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn a_client_that_leaves_stops_nothing_between_a_write_and_what_follows() {
    let world = World::new().await;
    let slow = Slow::new();
    let routes = slow.routes(&world.api);
    for round in 1..=3 {
        let mut asked = Box::pin(routes.clone().oneshot(request("/write")));
        while slow.begun.load(Ordering::SeqCst) < round {
            let mut context = Context::from_waker(Waker::noop());
            assert!(pin!(&mut asked).poll(&mut context).is_pending());
            tokio::task::yield_now().await;
        }
        // As a server does when the connection is gone.
        drop(asked);
        assert_eq!(slow.settled.load(Ordering::SeqCst), round - 1);
        slow.finish(round).await;
    }
    assert_eq!(world.api.requests.available_permits(), world.api.config().requests_max);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_time_is_over_is_done_to_its_end_and_keeps_its_place() {
    let config = ApiConfig { request_timeout: Duration::from_secs(30), ..ApiConfig::default() };
    let world = World::with(config).await;
    let slow = Slow::new();
    let answer = slow.routes(&world.api).oneshot(request("/write")).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let taken = || world.api.config().requests_max - world.api.requests.available_permits();
    assert_eq!(taken(), 1, "it is still worked on");
    slow.finish(1).await;
    tokio::task::yield_now().await;
    assert_eq!(taken(), 0);
}

#[tokio::test]
async fn a_panic_costs_the_request_and_nothing_else() {
    let world = World::new().await;
    let slow = Slow::new();
    let routes = slow.routes(&world.api);
    let answer = routes.clone().oneshot(request("/panic")).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    slow.durable.add_permits(1);
    let answer = routes.oneshot(request("/write")).await.expect("infallible");
    assert_eq!(text(answer).await, "done");
}

/// Turns of the runtime that are enough for any of these tasks.
const TURNS_MAX: usize = 10_000;
