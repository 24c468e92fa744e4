use super::*;

fn guard(change: fn(&mut GuardConfig)) -> (Guard, Arc<Metrics>) {
    let mut config = GuardConfig::default();
    change(&mut config);
    let metrics = Arc::new(Metrics::default());
    (Guard::new(config, Arc::clone(&metrics)), metrics)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn counted(metrics: &Metrics, bound: Bound) -> u64 {
    metrics.bounds().find(|(it, _)| *it == bound).map_or(0, |(_, n)| n)
}

#[test]
fn guests_of_one_address_are_bounded_and_a_login_makes_room() {
    let (guard, metrics) = guard(|it| it.guests_per_address_max = 2);
    let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
    assert_eq!([guard.enter(one, 0), guard.enter(one, 0)], [Ok(()); 2]);
    assert_eq!(guard.enter(one, 0), Err(Reason::TooManyFromAddress));
    assert_eq!(guard.enter(other, 0), Ok(()), "others are not concerned");
    guard.leave(one);
    assert_eq!(guard.enter(one, 0), Ok(()));
    assert_eq!(counted(&metrics, Bound::GuestsPerAddress), 1);
}

#[test]
fn guests_are_bounded_in_total_and_places_are_given_back() {
    let (guard, metrics) = guard(|it| it.guests_max = 3);
    let all: Vec<_> = (1..=4).map(|n| ip(&format!("192.0.2.{n}"))).collect();
    assert!(all[..3].iter().all(|it| guard.enter(*it, 0).is_ok()));
    assert_eq!(guard.enter(all[3], 0), Err(Reason::TooManyGuests));
    all[..3].iter().for_each(|it| guard.leave(*it));
    assert!(guard.state.lock().addresses.is_empty(), "nothing is remembered of good guests");
    assert_eq!(guard.enter(all[3], 0), Ok(()));
    assert_eq!(counted(&metrics, Bound::Guests), 1);
}

#[test]
fn no_more_than_the_rate_are_accepted_in_a_second() {
    let (guard, metrics) = guard(|it| {
        (it.accept_rate_max, it.guests_max, it.guests_per_address_max) = (5, 0, 0);
    });
    let accepted =
        |now_ms| (0..20).filter(|_| guard.enter(ip("192.0.2.1"), now_ms).is_ok()).count();
    assert_eq!([accepted(0), accepted(0), accepted(200), accepted(60_000)], [5, 0, 1, 5]);
    assert_eq!(counted(&metrics, Bound::AcceptRate), 69);
}

#[test]
fn an_ipv6_subnet_is_one_address_and_a_mapped_ipv4_address_is_itself() {
    let (guard, _) = guard(|it| it.guests_per_address_max = 1);
    let rows = [
        ("2001:db8::1", true),
        ("2001:db8::ffff:2", false),
        ("2001:db8:0:1::1", true),
        ("192.0.2.1", true),
        ("::ffff:192.0.2.1", false),
        ("::ffff:192.0.2.2", true),
    ];
    for (address, is_let_in) in rows {
        assert_eq!(guard.enter(ip(address), 0).is_ok(), is_let_in, "{address}");
    }
}

/// Ten failures within a minute, then a minute outside (L-12).
#[test]
fn an_address_that_keeps_failing_is_blocked_for_a_minute() {
    let (guard, _) = guard(|_| ());
    let (guesser, neighbour) = (ip("192.0.2.1"), ip("192.0.2.2"));
    for n in 0..10 {
        assert_eq!(guard.enter(guesser, n), Ok(()), "attempt {n}");
        guard.failed(guesser, Reason::CredentialsUnknown, n);
        guard.leave(guesser);
    }
    assert_eq!(guard.enter(guesser, 30_000), Err(Reason::AddressBlocked));
    assert_eq!(guard.enter(neighbour, 30_000), Ok(()));
    assert_eq!(guard.may_log_in(guesser, 30_000), Err(Reason::AddressBlocked));
    assert_eq!(guard.may_log_in(neighbour, 30_000), Ok(()));
    assert_eq!(guard.may_log_in(guesser, 60_009), Ok(()));
    assert_eq!(
        guard.enter(guesser, 60_008),
        Err(Reason::AddressBlocked),
        "trying prolongs nothing"
    );
    assert_eq!(guard.enter(guesser, 60_009), Ok(()));
    guard.failed(guesser, Reason::PasswordWrong, 60_010);
    assert_eq!(guard.enter(guesser, 60_011), Ok(()), "counting began afresh");
}

#[test]
fn slow_failures_and_forgiven_ones_do_not_block() {
    let (guard, _) = guard(|_| ());
    let (slow, forgiven) = (ip("192.0.2.1"), ip("192.0.2.2"));
    for n in 0..30 {
        guard.failed(slow, Reason::PasswordWrong, n * 7_000);
        guard.failed(forgiven, Reason::PasswordWrong, n);
        if n % 9 == 8 {
            guard.succeeded(forgiven);
        }
    }
    assert_eq!(guard.enter(slow, 210_000), Ok(()));
    assert_eq!(guard.enter(forgiven, 210_000), Ok(()));
    for n in 0..10 {
        guard.failed(forgiven, Reason::PasswordWrong, n);
    }
    assert_eq!(guard.enter(forgiven, 10), Err(Reason::AddressBlocked));
    guard.succeeded(forgiven);
    assert_eq!(guard.enter(forgiven, 11), Ok(()), "a success lifts the block (LS-010)");
}

#[test]
fn only_what_a_guesser_meets_is_counted() {
    use Reason as R;
    let rows = [
        (R::CredentialsUnknown, true),
        (R::PasswordWrong, true),
        (R::ClientIdUnknown, true),
        (R::TokenMissing, true),
        (R::LoginStoreUnavailable, false),
        (R::ProfileNotMqtt, false),
        (R::RateLimited, false),
        (R::TooManyConnections, false),
        (R::ServerShuttingDown, false),
    ];
    for (reason, counts) in rows {
        let (guard, _) = guard(|it| it.failed_logins_max = 1);
        guard.failed(ip("192.0.2.1"), reason, 0);
        assert_eq!(guard.enter(ip("192.0.2.1"), 1).is_err(), counts, "{reason:?}");
    }
}

#[test]
fn exempt_addresses_and_bounds_of_nought_are_not_guarded() {
    let (guard, _) = guard(|it| {
        (it.guests_max, it.accept_rate_max, it.failed_logins_max) = (1, 1, 1);
    });
    for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        for _ in 0..5 {
            assert_eq!(guard.enter(ip(address), 0), Ok(()), "{address}");
            guard.failed(ip(address), Reason::PasswordWrong, 0);
        }
    }
    let (open, _) = self::guard(|it| {
        *it = GuardConfig {
            guests_max: 0,
            guests_per_address_max: 0,
            accept_rate_max: 0,
            failed_logins_max: 0,
            exempt: Vec::new(),
        };
    });
    for _ in 0..5_000 {
        assert_eq!(open.enter(ip("192.0.2.1"), 0), Ok(()));
        open.failed(ip("192.0.2.1"), Reason::PasswordWrong, 0);
    }
}

#[test]
fn the_memory_of_failures_is_bounded_and_blocks_survive_a_flood() {
    let (guard, metrics) = guard(|it| it.failed_logins_max = 1);
    let address = |n: u32| IpAddr::from(core::net::Ipv4Addr::from_bits(0x0100_0000 + n));
    let max = u32::try_from(ADDRESSES_MAX).expect("a small number");
    for n in 0..max + 10 {
        guard.failed(address(n), Reason::PasswordWrong, 0);
    }
    assert_eq!(guard.state.lock().addresses.len(), ADDRESSES_MAX);
    assert_eq!(counted(&metrics, Bound::GuardedAddresses), 10);
    assert_eq!(guard.enter(address(0), 1), Err(Reason::AddressBlocked));
    guard.failed(address(max), Reason::PasswordWrong, 60_001);
    assert_eq!(
        guard.state.lock().addresses.len(),
        1,
        "what is over is forgotten when room is needed"
    );
}

#[test]
fn networks_are_read_and_shown() {
    let rows = [
        ("10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("10.1.2.3/8", "10.0.0.0/8", "10.0.0.1", "::1"),
        ("192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8::/32", "2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
        ("::1", "::1", "::1", "127.0.0.1"),
        ("0.0.0.0/0", "0.0.0.0/0", "203.0.113.5", "2001:db8::1"),
        ("::/0", "::/0", "203.0.113.5", ""),
    ];
    for (text, shown, inside, outside) in rows {
        let network = Network::parse(text).expect(text);
        assert_eq!(network.to_string(), shown);
        assert!(network.contains(ip(inside)), "{text} has {inside}");
        assert!(outside.is_empty() || !network.contains(ip(outside)), "{text} has no {outside}");
    }
    for wrong in
        ["", "10", "10.0.0.0/33", "10.0.0.0/", "::/129", "host", "10.0.0.0/+8", "1.2.3.4/8/8"]
    {
        assert_eq!(Network::parse(wrong), None, "{wrong}");
    }
}

/// A table that is full of fresh failures is not looked through for each further one.
#[test]
fn a_full_table_is_swept_once_a_second() {
    let (guard, metrics) = guard(|_| ());
    let fail = |n: usize, now_ms| {
        let ip = Ipv6Addr::from((0x2001_0db8_u128 << 96) | ((n as u128) << 64));
        guard.failed(IpAddr::V6(ip), Reason::CredentialsUnknown, now_ms);
    };
    (0..ADDRESSES_MAX).for_each(|n| fail(n, 0));
    fail(ADDRESSES_MAX, 59_500);
    assert_eq!(guard.state.lock().swept_ms, Some(59_500));
    // All have been forgotten meanwhile, but it was looked a moment ago.
    fail(ADDRESSES_MAX, 60_400);
    assert_eq!(guard.state.lock().swept_ms, Some(59_500));
    assert_eq!(counted(&metrics, Bound::GuardedAddresses), 2);
    fail(ADDRESSES_MAX, 60_500);
    assert_eq!(guard.state.lock().addresses.len(), 1);
    assert_eq!(counted(&metrics, Bound::GuardedAddresses), 2);
}
