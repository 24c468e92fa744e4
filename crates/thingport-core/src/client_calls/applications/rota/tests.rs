use thingport_model::id::DeviceId;
use thingport_model::time::Timestamp;

use super::*;

const A: DeviceProfileId = DeviceProfileId(Uuid::from_u128(1));
const B: DeviceProfileId = DeviceProfileId(Uuid::from_u128(2));

fn request(id: u128, profile_id: DeviceProfileId) -> Arc<Request> {
    Arc::new(Request {
        id: Uuid::from_u128(id),
        device_id: DeviceId(Uuid::nil()),
        profile_id,
        profile_name: String::new(),
        customer_id: None,
        method: "m".to_owned(),
        params: "null".to_owned(),
        asked_at: Timestamp(0),
    })
}

const fn terms(window: u32, is_lasting: bool) -> Terms {
    Terms { profile: None, window, lease_ms: 100, is_lasting }
}

/// A rota on which what happens is written as text.
#[derive(Default)]
struct Told {
    rota: Rota,
    now_ms: u64,
    answers: Vec<oneshot::Receiver<Answer>>,
}

impl Told {
    fn ask(&mut self, id: u128, profile: DeviceProfileId) {
        let (sender, receiver) = oneshot::channel();
        self.answers.push(receiver);
        self.rota.ask(request(id, profile), sender, self.now_ms);
    }

    fn open(&mut self, taker: u64, terms: Terms) {
        self.rota.open(taker, terms, Arc::default(), self.now_ms);
    }

    fn close(&mut self, taker: u64) {
        self.rota.close(taker, self.now_ms);
    }

    fn fetch(&mut self, taker: u64) -> Vec<u128> {
        self.rota.fetch(taker, self.now_ms).iter().map(|it| it.id.as_u128()).collect()
    }

    fn answer(&mut self, id: u128) -> bool {
        self.rota.take_out(Uuid::from_u128(id), self.now_ms).is_some()
    }
}

#[test]
fn takers_share_the_work() {
    let mut it = Told::default();
    it.open(1, terms(2, true));
    it.open(2, terms(2, true));
    (1..=5).for_each(|id| it.ask(id, A));
    assert_eq!(it.fetch(1), [1, 3]);
    assert_eq!(it.fetch(2), [2, 4]);
    assert_eq!(it.fetch(1), [0; 0], "nobody gets a request twice, nor more than the window");
    assert!(it.answer(2));
    assert_eq!(it.fetch(2), [5]);
    assert!(!it.answer(2), "the first answer counts");
}

#[test]
fn what_a_lasting_taker_held_is_given_again_when_it_hangs_up() {
    let mut it = Told::default();
    it.open(1, terms(8, true));
    it.ask(1, A);
    it.ask(2, A);
    assert_eq!(it.fetch(1), [1, 2]);
    it.open(2, terms(8, true));
    assert_eq!(it.fetch(2), [0; 0]);
    it.close(1);
    assert_eq!(it.fetch(2), [1, 2], "in the order in which they were asked");
    it.close(2);
    it.open(3, terms(8, false));
    assert_eq!(it.fetch(3), [1, 2], "also when nobody was there meanwhile");
}

#[test]
fn a_lapsed_lease_is_given_to_another_taker_if_there_is_any() {
    let mut it = Told::default();
    it.open(1, terms(8, true));
    it.ask(1, A);
    assert_eq!(it.fetch(1), [1]);
    assert_eq!(it.rota.next_lapse_ms(), Some(100));
    it.now_ms = 99;
    it.open(2, terms(8, true));
    assert_eq!(it.fetch(2), [0; 0]);
    it.now_ms = 100;
    assert_eq!(it.fetch(2), [1]);
    assert_eq!(it.fetch(1), [0; 0]);
    it.now_ms = 150;
    it.close(2);
    assert_eq!(it.fetch(1), [1], "the one that lost it gets it again when it is the only one");
    it.now_ms = 250;
    assert_eq!(it.fetch(1), [1]);
    assert!(it.answer(1), "whoever answers");
    assert_eq!(it.rota.next_lapse_ms(), None);
}

#[test]
fn a_poll_keeps_what_it_fetched_and_gives_back_what_it_did_not() {
    let mut it = Told::default();
    it.open(1, terms(1, false));
    it.ask(1, A);
    it.ask(2, A);
    assert_eq!(it.fetch(1), [1]);
    it.close(1);
    it.open(2, terms(8, false));
    assert_eq!(it.fetch(2), [2], "the first one is being worked at");
    it.now_ms = 100;
    assert_eq!(it.fetch(2), [1, 2], "not any more");
    it.close(2);
    it.ask(3, A);
    it.open(3, terms(8, false));
    it.close(3);
    it.open(4, terms(8, false));
    assert_eq!(it.fetch(4), [3], "the poll before hung up and never fetched it");
}

#[test]
fn takers_of_one_profile_get_no_other() {
    let mut it = Told::default();
    it.open(1, Terms { profile: Some(A), ..terms(8, true) });
    it.ask(1, B);
    it.ask(2, A);
    assert_eq!(it.fetch(1), [2]);
    it.open(2, terms(8, true));
    assert_eq!(it.fetch(2), [1]);
}

#[test]
fn somebody_who_polls_is_expected_back_for_a_while() {
    let mut it = Told::default();
    assert!(!it.rota.is_attended(A, 0));
    it.open(1, Terms { profile: Some(A), ..terms(8, false) });
    it.open(2, Terms { profile: Some(B), ..terms(8, true) });
    let attended = |it: &Told, at_ms| [A, B].map(|profile| it.rota.is_attended(profile, at_ms));
    assert_eq!(attended(&it, 0), [true, true]);
    it.close(1);
    it.close(2);
    let rows = [(0, [true, false]), (EXPECTED_MS - 1, [true, false]), (EXPECTED_MS, [false; 2])];
    for (at_ms, expected) in rows {
        assert_eq!(attended(&it, at_ms), expected, "{at_ms}");
        assert_eq!(it.rota.is_idle(at_ms), !expected[0]);
    }
}

#[test]
fn those_who_are_expected_are_not_many() {
    let mut it = Told::default();
    for n in 0..2 * u64::try_from(EXPECTED_MAX).expect("a number") {
        let profile = Some(DeviceProfileId(Uuid::from_u128(u128::from(n))));
        it.open(n, Terms { profile, ..terms(1, false) });
        it.close(n);
    }
    assert_eq!(it.rota.expected.len(), EXPECTED_MAX);
}

#[test]
fn a_request_nobody_waits_for_is_gone_wherever_it_is() {
    let mut it = Told::default();
    it.open(1, terms(2, true));
    (1..=3).for_each(|id| it.ask(id, A));
    assert!(it.answer(1), "given and not fetched");
    assert_eq!(it.fetch(1), [2, 3]);
    assert!(it.answer(3), "fetched");
    it.ask(4, A);
    it.ask(5, A);
    assert!(it.answer(5), "waiting");
    assert_eq!(it.fetch(1), [4]);
    assert_eq!(it.rota.len(), 2);
    assert_eq!(it.rota.takers(), 1);
}
