use super::*;
use crate::clock::Clock as _;
use crate::fake::{FakeClock, FakeLedger};
use crate::metrics::Metrics;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(7));

fn quota(messages: u64, points: u64) -> MonthlyQuota {
    MonthlyQuota { messages, points }
}

#[test]
fn months_are_those_of_the_calendar_in_utc() {
    let rows = [
        ("1970-01-01T00:00:00Z", 0, 1970 * 12),
        ("1970-01-31T23:59:59.999Z", 2_678_399_999, 1970 * 12),
        ("1970-02-01T00:00:00Z", 2_678_400_000, 1970 * 12 + 1),
        ("1969-12-31T23:59:59.999Z", -1, 1969 * 12 + 11),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000, 2024 * 12 + 1),
        ("2024-03-01T00:00:00Z", 1_709_251_200_000, 2024 * 12 + 2),
        ("2025-02-28T23:59:59Z", 1_740_787_199_000, 2025 * 12 + 1),
        ("2025-03-01T00:00:00Z", 1_740_787_200_000, 2025 * 12 + 2),
        ("2026-12-31T23:59:59Z", 1_798_761_599_000, 2026 * 12 + 11),
        ("2027-01-01T00:00:00Z", 1_798_761_600_000, 2027 * 12),
        ("2100-03-01T00:00:00Z", 4_107_542_400_000, 2100 * 12 + 2),
    ];
    for (text, ms, expected) in rows {
        assert_eq!(Month::of(Timestamp(ms)), Month(expected), "{text}");
    }
}

#[test]
fn a_message_passes_while_the_quota_is_not_reached() {
    // Quota, points of each message, how many pass, what stops the next.
    let rows = [
        (quota(3, 0), 5, 3, "3 messages"),
        (quota(0, 10), 4, 3, "10 telemetry data points"),
        // RL-032: what has no values counts as one point.
        (quota(0, 2), 0, 2, "2 telemetry data points"),
        (quota(100, 6), 2, 3, "6 telemetry data points"),
    ];
    for (quota, points, expected, text) in rows {
        let account = Account::new(quota);
        let passing = (0..1_000).take_while(|_| {
            let passes = account.check().is_ok();
            account.count(points);
            passes
        });
        assert_eq!(passing.count(), expected, "{quota:?}");
        let bite = account.check().expect_err("reached");
        assert_eq!((bite.is_slowing(), bite.reason()), (false, Reason::QuotaReached));
        assert_eq!(bite.to_string(), format!("{text} a month for all devices of the tenant"));
    }
}

#[test]
fn what_is_written_is_read_again() {
    let account = Account::new(quota(10, 10));
    account.count(3);
    assert_eq!(account.due(), None, "the past is not known yet");
    account.0.lock().is_complete = true;
    let text = account.due().expect("something to write");
    assert_eq!(account.due(), None, "written once");
    let stored = |text: &str| Attribute {
        key: key(TENANT),
        value: Value::String(text.to_owned()),
        updated_at: Timestamp(0),
    };
    assert_eq!(parse(&stored(&text)), Some((Month(0), Used { messages: 1, points: 3 })));
    for wrong in ["", "1", "1 2", "a b c", "1 -2 3"] {
        assert_eq!(parse(&stored(wrong)), None, "{wrong:?}");
    }
}

#[tokio::test]
async fn people_are_told_once_and_a_new_month_begins_with_nothing() {
    let (clock, ledger) = (Arc::new(FakeClock::default()), Arc::new(FakeLedger::default()));
    let journal = Journal::new(ledger.clone(), clock.clone(), Arc::new(Metrics::default()));
    let accounts = Accounts::default();
    let account = accounts.of(TENANT, quota(10, 0)).expect("an account");
    // How long passes, how many messages come, what is written then, and whether the next one passes.
    let rows: [(u64, u64, &[&str], bool); 7] = [
        (0, 7, &["set SERVER_SCOPE 1"], true),
        (1, 0, &[], true),
        (1, 1, &["set SERVER_SCOPE 1", "TENANT limit.month_near x1"], true),
        (1, 1, &["set SERVER_SCOPE 1"], true),
        (1, 1, &["set SERVER_SCOPE 1", "TENANT limit.month x1"], false),
        (1, 0, &[], false),
        (40 * 86_400_000, 0, &["set SERVER_SCOPE 1"], true),
    ];
    for (ms, messages, expected, passes) in rows {
        clock.advance(ms);
        (0..messages).for_each(|_| account.count(1));
        accounts.round(&*ledger, &journal, clock.now()).await;
        assert_eq!(ledger.take(), expected, "after {ms} ms and {messages} messages");
        assert_eq!(account.check().is_ok(), passes, "after {ms} ms and {messages} messages");
    }
}

#[tokio::test]
async fn what_could_not_be_written_is_kept_and_written_later() {
    let (clock, ledger) = (Arc::new(FakeClock::default()), Arc::new(FakeLedger::default()));
    let journal = Journal::new(ledger.clone(), clock.clone(), Arc::new(Metrics::default()));
    let accounts = Accounts::default();
    accounts.of(TENANT, quota(10, 0)).expect("an account").count(1);
    *ledger.refuses.lock() = Some(AppendError::Full);
    accounts.round(&*ledger, &journal, clock.now()).await;
    assert_eq!(accounts.table.lock().len(), 1);
    *ledger.refuses.lock() = None;
    accounts.round(&*ledger, &journal, clock.now()).await;
    assert_eq!(ledger.take(), ["set SERVER_SCOPE 1"]);
    assert_eq!(accounts.table.lock().len(), 0, "nobody is held to it, and it can be read again");
}

#[test]
fn a_changed_quota_holds_at_once_and_none_ends_it() {
    let accounts = Accounts::default();
    let account = accounts.of(TENANT, quota(1, 0)).expect("an account");
    account.count(1);
    assert!(account.check().is_err());
    assert!(accounts.of(TENANT, quota(2, 0)).is_some() && account.check().is_ok());
    assert!(accounts.of(TENANT, quota(0, 0)).is_none());
}
