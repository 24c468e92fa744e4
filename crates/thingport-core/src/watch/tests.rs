//! What watchers are told, who keep up, fall behind or cannot be helped; alone and many together.

use super::*;
use thingport_model::attribute::Scope;
use thingport_model::id::{DeviceId, NIL};
use thingport_model::reading::Reading;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

fn reading(at: i64, key: &str, value: i64) -> Reading {
    Reading { at: Timestamp(at), key: key.into(), value: Value::Long(value) }
}

fn telemetry(at: i64, key: &str, value: i64) -> Committed {
    Committed::Telemetry(vec![reading(at, key, value)])
}

fn watches() -> (Arc<Watches>, EntityRef) {
    (Watches::new(Arc::new(Metrics::default())), DeviceId(NIL).entity())
}

fn next(watch: &mut Watch) -> Option<Committed> {
    watch.try_next().map(|notice| notice.change.clone())
}

/// More than are kept.
const MANY: i64 = WATCH_QUEUE_MAX as i64 + 1;

#[test]
fn a_watch_gets_what_is_committed_while_it_lives() {
    let (watches, entity) = watches();
    assert!(watches.is_idle());
    let mut watch = watches.watch(entity);
    assert!(!watches.is_idle() && watches.wants(entity));
    watches.committed(entity, &telemetry(1, "a", 1));
    assert_eq!(next(&mut watch), Some(telemetry(1, "a", 1)));
    assert_eq!(next(&mut watch), None);
    drop(watch);
    assert!(watches.is_idle() && !watches.wants(entity));
}

#[test]
fn watchers_come_read_and_go_without_disturbing_each_other() {
    let (watches, entity) = watches();
    let (mut quick, mut slow) = (watches.watch(entity), watches.watch(entity));
    let leaver = watches.watch(entity);
    watches.committed(entity, &telemetry(1, "a", 1));
    assert_eq!(next(&mut quick), Some(telemetry(1, "a", 1)));
    watches.committed(entity, &telemetry(2, "a", 2));
    let mut late = watches.watch(entity);
    assert_eq!(next(&mut late), None, "what was before it is not told");
    drop(leaver);
    watches.committed(entity, &telemetry(3, "a", 3));
    for at in 2..=3 {
        assert_eq!(next(&mut quick), Some(telemetry(at, "a", at)));
    }
    for at in 1..=3 {
        assert_eq!(next(&mut slow), Some(telemetry(at, "a", at)));
    }
    assert_eq!(next(&mut late), Some(telemetry(3, "a", 3)));
    let topic = Arc::clone(&quick.topic);
    assert!(format!("{:?}", topic.state.lock().backlog).contains("notices: []"), "all is read");
}

#[test]
fn a_slow_reader_finds_the_newest_value_per_key_and_a_quick_one_all() {
    let (watches, entity) = watches();
    let (mut slow, mut quick) = (watches.watch(entity), watches.watch(entity));
    let kept = 10;
    for n in 0..MANY + kept {
        watches.committed(entity, &telemetry(n, if n % 2 == 0 { "even" } else { "odd" }, n));
        assert!(next(&mut quick).is_some());
    }
    let expected = vec![reading(kept, "even", kept), reading(kept - 1, "odd", kept - 1)];
    assert_eq!(next(&mut slow), Some(Committed::Telemetry(expected)));
    for n in kept + 1..MANY + kept {
        let key = if n % 2 == 0 { "even" } else { "odd" };
        assert_eq!(next(&mut slow), Some(telemetry(n, key, n)));
    }
    assert_eq!(next(&mut slow), None);
}

#[test]
fn who_fell_behind_later_missed_less() {
    let (watches, entity) = watches();
    let mut first = watches.watch(entity);
    watches.committed(entity, &telemetry(0, "early", 0));
    let mut second = watches.watch(entity);
    for n in 1..=MANY {
        watches.committed(entity, &telemetry(n, "late", n));
    }
    let both = vec![reading(0, "early", 0), reading(1, "late", 1)];
    assert_eq!(next(&mut first), Some(Committed::Telemetry(both)));
    assert_eq!(next(&mut second), Some(telemetry(1, "late", 1)));
    for watch in [&mut first, &mut second] {
        assert_eq!(next(watch), Some(telemetry(2, "late", 2)));
    }
}

#[test]
fn a_deletion_is_not_lost_when_notices_are_folded() {
    let (watches, entity) = watches();
    let mut watch = watches.watch(entity);
    let gone = Committed::AttributesDeleted(Scope::Shared, vec!["k".into()]);
    let forgotten = Committed::TelemetryDeleted(vec!["b".into()]);
    for change in [&telemetry(5, "b", 5), &gone, &forgotten] {
        watches.committed(entity, change);
    }
    for n in 0..MANY {
        watches.committed(entity, &telemetry(n, "a", n));
    }
    assert_eq!(next(&mut watch), Some(forgotten));
    assert_eq!(next(&mut watch), Some(telemetry(0, "a", 0)));
    assert_eq!(next(&mut watch), Some(gone));
    assert_eq!(next(&mut watch), Some(telemetry(1, "a", 1)));
}

#[tokio::test]
async fn a_reader_that_cannot_be_helped_is_ended_and_others_go_on() {
    let (watches, entity) = watches();
    let (mut slow, mut quick) = (watches.watch(entity), watches.watch(entity));
    for n in 0..MANY + 300 {
        let many = (0..50).map(|k| reading(0, &format!("{n}-{k}"), 0));
        watches.committed(entity, &Committed::Telemetry(many.collect()));
        assert!(next(&mut quick).is_some());
    }
    assert!(slow.next().await.is_none());
    drop(slow);
    let mut new = watches.watch(entity);
    watches.committed(entity, &telemetry(1, "a", 1));
    for watch in [&mut quick, &mut new] {
        assert_eq!(next(watch), Some(telemetry(1, "a", 1)));
    }
}

/// The writer wakes one, and nobody is forgotten, however many wait, leave or are busy.
#[tokio::test]
async fn everybody_is_woken_whoever_leaves_meanwhile() {
    const NOTICES: i64 = 200;
    let (watches, entity) = watches();
    let mut tasks = Vec::new();
    for number in 0..300 {
        let mut watch = watches.watch(entity);
        tasks.push(tokio::spawn(async move {
            // Every third one leaves early, and one in seven is cut off in the middle of its waiting.
            let wanted = if number % 3 == 0 { 3 } else { NOTICES };
            for at in 0..wanted {
                if number % 7 == 0 {
                    let notice = tokio::select! {
                        biased;
                        notice = watch.next() => notice,
                        () = tokio::task::yield_now() => watch.next().await,
                    };
                    assert!(notice.is_some());
                } else {
                    let notice = watch.next().await.expect("not ended");
                    assert_eq!(notice.change, telemetry(at, "a", at));
                }
            }
        }));
    }
    let writer = Arc::clone(&watches);
    let writer = std::thread::spawn(move || {
        for at in 0..NOTICES {
            writer.committed(entity, &telemetry(at, "a", at));
        }
    });
    for task in tasks {
        task.await.expect("no panic");
    }
    writer.join().expect("no panic");
    assert!(watches.is_idle());
}

#[test]
fn a_text_is_written_once_for_all_who_want_the_same() {
    let notice = Notice::new(telemetry(1, "a", 1));
    let mut written = 0_u64;
    let mut ask = |form, parts| {
        notice.text(TextKey { form, parts }, || {
            written += 1;
            format!("{form}/{parts}")
        })
    };
    for (form, parts, expected) in [(0, 1, "0/1"), (0, 1, "0/1"), (1, 1, "1/1"), (0, 2, "0/2")] {
        assert_eq!(&*ask(form, parts), expected);
    }
    for parts in (0..100).chain(0..100) {
        assert_eq!(&*ask(7, parts), format!("7/{parts}"));
    }
    let kept = TEXTS_MAX as u64 - 3;
    assert_eq!(written, 103 + 100 - kept, "only so many are kept");
}
