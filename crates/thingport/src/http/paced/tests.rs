use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::*;

struct Pair {
    peer: DuplexStream,
    paced: Paced<DuplexStream>,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
}

const HEAD_MAX: Duration = Duration::from_secs(10);

fn pair() -> Pair {
    let (peer, stream) = duplex(16);
    let (progress, metrics) = (Arc::new(Progress::default()), Arc::new(Metrics::default()));
    let paced = Paced::new(stream, HEAD_MAX, Arc::clone(&progress), Arc::clone(&metrics));
    Pair { peer, paced, progress, metrics }
}

/// Reads one byte; how long it took to fail.
async fn failing(paced: &mut Paced<DuplexStream>) -> (io::ErrorKind, Duration) {
    let began = Instant::now();
    loop {
        if let Err(error) = paced.read_u8().await {
            return (error.kind(), began.elapsed());
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_ends_after_its_time() {
    let Pair { mut peer, mut paced, metrics, .. } = pair();
    tokio::spawn(async move {
        while peer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(3)).await;
        }
    });
    assert_eq!(failing(&mut paced).await, (io::ErrorKind::TimedOut, HEAD_MAX));
    assert!(metrics.bounds().any(|it| it == (Bound::HttpHeadTime, 1)));
}

#[tokio::test(start_paused = true)]
async fn neither_answers_nor_pauses_are_heads() {
    let Pair { mut peer, mut paced, progress, .. } = pair();
    peer.write_all(b"a").await.expect("room");
    assert_eq!(paced.read_u8().await.expect("a byte"), b'a');
    let began = progress.begin();
    // A body that takes longer than a head may, and then a long pause.
    peer.write_all(b"b").await.expect("room");
    assert_eq!(paced.read_u8().await.expect("a byte"), b'b');
    assert!(tokio::time::timeout(MINUTE, paced.read_u8()).await.is_err());
    began.answered(false);
    assert!(tokio::time::timeout(MINUTE, paced.read_u8()).await.is_err());
    // The next head is timed from its first byte.
    peer.write_all(b"c").await.expect("room");
    assert_eq!(failing(&mut paced).await, (io::ErrorKind::TimedOut, HEAD_MAX));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_sends_no_heads() {
    let Pair { mut peer, mut paced, progress, .. } = pair();
    progress.begin().answered(true);
    peer.write_all(b"a").await.expect("room");
    assert_eq!(paced.read_u8().await.expect("a byte"), b'a');
    assert!(tokio::time::timeout(MINUTE, paced.read_u8()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_not_waited_for() {
    let Pair { peer, mut paced, .. } = pair();
    let began = Instant::now();
    let error = paced.write_all(&[0; 100]).await.expect_err("nobody reads");
    assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, STALL_MAX));
    drop(peer);
}
