use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{Method, Request};
use futures_util::stream;

use super::*;
use crate::config::ApiConfig;
use crate::fake::{Answer, World};
use crate::room::{FREE_BYTES, STRANGER_BODIES_MAX};

const LOGIN: &str = "/api/auth/login";
const SAVE: &str = "/api/device";

/// The first bytes of a body whose rest never comes.
fn unfinished(bytes: Vec<u8>) -> Body {
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from(bytes)) });
    Body::from_stream(first.chain(stream::pending()))
}

fn post(path: &str, token: &str, body: Body) -> Request<Body> {
    let mut request = Request::builder().method(Method::POST).uri(path);
    if !token.is_empty() {
        request = request.header("X-Authorization", format!("Bearer {token}"));
    }
    request.body(body).expect("a request")
}

fn counted(world: &World, bound: Bound) -> u64 {
    let mut bounds = world.api.node().metrics.bounds();
    bounds.find(|(it, _)| *it == bound).map_or(0, |(_, n)| n)
}

/// Sends without waiting for the answer; the other side gets its first turn.
async fn begin(world: &Arc<World>, request: Request<Body>) -> tokio::task::JoinHandle<Answer> {
    let world = Arc::clone(world);
    let sent = tokio::spawn(async move { world.send(request).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    sent
}

#[tokio::test]
async fn a_stranger_must_be_quick() {
    let world = Arc::new(World::new().await);
    tokio::time::pause();
    let slow = begin(&world, post(LOGIN, "", unfinished(b"{".to_vec()))).await;
    let began = tokio::time::Instant::now();
    assert_eq!(slow.await.expect("an answer").refusal(), (408, 31));
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(counted(&world, Bound::StrangerBodyTime), 1);
}

#[tokio::test]
async fn a_stranger_may_send_little() {
    let world = World::new().await;
    let rows = [
        (Body::from(vec![b' '; STRANGER_BODY_MAX]), 400),
        (Body::from(vec![b' '; STRANGER_BODY_MAX + 1]), 413),
        (unfinished(vec![b' '; STRANGER_BODY_MAX + 1]), 413),
    ];
    for (body, status) in rows {
        assert_eq!(world.send(post(LOGIN, "", body)).await.status.as_u16(), status);
    }
    let mut announced = post(LOGIN, "", unfinished(Vec::new()));
    announced.headers_mut().insert(CONTENT_LENGTH, 1_000_000.into());
    assert_eq!(world.send(announced).await.status.as_u16(), 413);
    assert_eq!(counted(&world, Bound::StrangerBodySize), 3);
    // Who has not signed in sends nothing at all where that is needed.
    let refused = world.send(post(SAVE, "", unfinished(Vec::new()))).await;
    assert_eq!(refused.status.as_u16(), 401);
}

#[tokio::test]
async fn whoever_waits_for_a_body_keeps_nobody_out() {
    let config = ApiConfig { requests_max: 1, ..ApiConfig::default() };
    let world = Arc::new(World::with(config).await);
    let admin = world.tenant().await;
    let mut slow = Vec::new();
    for (path, token) in [(LOGIN, ""), (SAVE, admin.as_str()), (LOGIN, "")] {
        slow.push(begin(&world, post(path, token, unfinished(b"{".to_vec()))).await);
    }
    assert_eq!(world.get("/api/auth/user", &admin).await.status.as_u16(), 200);
    assert!(slow.iter().all(|it| !it.is_finished()));
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn room_is_taken_by_what_arrives() {
    let config = ApiConfig { bodies_max: 64 * 1024, ..ApiConfig::default() };
    let world = Arc::new(World::with(config).await);
    let admin = world.tenant().await;
    let spaces = |n: usize| vec![b' '; n];
    // Announced without end, and hardly begun.
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(begin(&world, post(SAVE, &admin, unfinished(spaces(1)))).await);
    }
    let large = async || world.send(post(SAVE, &admin, spaces(60_000).into())).await;
    assert_eq!(large().await.refusal(), (400, 31), "read to its end");
    assert_eq!(counted(&world, Bound::RequestBodies), 0);
    others.push(begin(&world, post(SAVE, &admin, unfinished(spaces(30_000)))).await);
    tokio::time::pause();
    assert_eq!(large().await.refusal(), (503, 2));
    assert_eq!(counted(&world, Bound::RequestBodies), 1);
    // Strangers have a room of their own.
    let stranger = world.send(post(LOGIN, "", spaces(60_000).into())).await;
    assert_eq!(stranger.refusal(), (400, 31));
    others.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn strangers_share_a_room_of_their_own() {
    let world = Arc::new(World::new().await);
    let full = STRANGER_BODIES_MAX / (STRANGER_BODY_MAX - FREE_BYTES);
    let mut others = Vec::new();
    for _ in 0..full {
        let body = unfinished(vec![b' '; STRANGER_BODY_MAX]);
        let world = Arc::clone(&world);
        others.push(tokio::spawn(async move { world.send(post(LOGIN, "", body)).await }));
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let one = world.send(post(LOGIN, "", vec![b' '; STRANGER_BODY_MAX].into())).await;
    assert_eq!(one.refusal(), (503, 2));
    assert_eq!(counted(&world, Bound::StrangerBodies), 1);
    let small = world.try_login("tenant@thingsboard.org", "tenant").await;
    assert_eq!(small.status.as_u16(), 200, "an ordinary login takes no room");
    others.iter().for_each(tokio::task::JoinHandle::abort);
}
