use super::held::{CLAIMS_MAX, Held, Registration, SecretHash, WRONG_MAX, WRONG_MS};
use super::*;
use uuid::Uuid;

fn device(number: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(number))
}

fn registration(tenant: u128, secret: &str, since_ms: u64) -> Registration {
    Registration {
        tenant: TenantId(Uuid::from_u128(tenant)),
        secret: SecretHash::of(secret),
        since_ms,
        expires_ms: since_ms + 1_000,
    }
}

fn nothing_written(_: SecretHash) -> Result<(), Reason> {
    Err(Reason::ClaimNotOffered)
}

#[test]
fn a_secret_is_right_while_it_is_held() {
    // Held secret, given secret, moment, answer.
    let rows = [
        (Some("s"), "s", 999, Ok(())),
        (Some("s"), "s", 1_000, Err(Reason::ClaimExpired)),
        (Some("s"), "S", 5, Err(Reason::ClaimWrongSecret)),
        (Some("s"), "", 5, Err(Reason::ClaimWrongSecret)),
        (Some(""), "", 5, Ok(())),
        (Some(""), "s", 5, Err(Reason::ClaimWrongSecret)),
        (None, "", 5, Err(Reason::ClaimNotOffered)),
    ];
    for (held_secret, given, now_ms, expected) in rows {
        let mut held = Held::default();
        if let Some(secret) = held_secret {
            held.put(device(1), registration(1, secret, 0), 0);
        }
        let judged = held.judge(device(1), SecretHash::of(given), now_ms, nothing_written);
        assert_eq!(judged, expected, "{held_secret:?} {given:?}");
        let stays = usize::from(expected.is_ok());
        assert_eq!(held.len().0, stays, "a failed attempt ends it");
    }
}

#[test]
fn the_newest_word_counts() {
    let mut held = Held::default();
    held.put(device(1), registration(1, "old", 0), 0);
    held.put(device(1), registration(1, "new", 10), 10);
    let new = SecretHash::of("new");
    assert_eq!(held.judge(device(1), new, 1_005, nothing_written), Ok(()));
}

#[test]
fn whoever_has_the_most_makes_room() {
    let mut held = Held::default();
    held.put(device(0), registration(1, "s", 0), 0);
    for n in 1..CLAIMS_MAX as u64 {
        assert!(!held.put(device(n.into()), registration(2, "s", n), 500));
    }
    assert!(held.put(device(9_999), registration(3, "s", 600), 600));
    assert_eq!(held.len().0, CLAIMS_MAX);
    let s = SecretHash::of("s");
    assert_eq!(held.judge(device(0), s, 600, nothing_written), Ok(()), "the oldest of all");
    let gone = held.judge(device(1), s, 600, nothing_written);
    assert_eq!(gone, Err(Reason::ClaimNotOffered), "the oldest of the largest tenant");
    // What is over goes first.
    held.put(device(1), registration(3, "s", 700), 700);
    assert!(!held.put(device(10_000), registration(3, "s", 1_500), 1_500));
}

#[test]
fn what_people_wrote_cannot_be_guessed() {
    let mut held = Held::default();
    let written = |given: SecretHash| {
        let is_right = given == SecretHash::of("right");
        if is_right { Ok(()) } else { Err(Reason::ClaimWrongSecret) }
    };
    for n in 0..u64::from(WRONG_MAX) {
        let guess = SecretHash::of(&n.to_string());
        assert_eq!(held.judge(device(1), guess, n, written), Err(Reason::ClaimWrongSecret));
    }
    let right = SecretHash::of("right");
    assert_eq!(held.judge(device(1), right, WRONG_MS - 1, written), Err(Reason::ClaimGuessing));
    assert_eq!(held.judge(device(1), right, WRONG_MS, written), Ok(()));
    assert_eq!(held.judge(device(2), right, 0, written), Ok(()), "another device");
}

#[test]
fn wrong_secrets_are_counted_for_so_many_devices_at_most() {
    let mut held = Held::default();
    let wrong = |_: SecretHash| Err(Reason::ClaimWrongSecret);
    for n in 0..2 * CLAIMS_MAX as u64 {
        let _ = held.judge(device(n.into()), SecretHash::of("x"), n, wrong);
    }
    assert_eq!(held.len(), (0, CLAIMS_MAX));
}

#[test]
fn a_secret_is_not_printed() {
    let data = ClaimingData { secret: "do-not-print".to_owned(), expires_at: Timestamp(1) };
    let held = registration(1, "do-not-print", 0);
    assert!(!format!("{data:?} {held:?}").contains("do-not-print"));
}
