use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use thingport_model::user::Authority;

use super::*;
use crate::client_calls::tests::login;
use crate::fake::FakeClock;

struct Counting(Mutex<u8>);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        let mut count = self.0.lock();
        *count = count.wrapping_add(1);
        out.fill(*count);
    }
}

struct House {
    applications: Arc<Applications>,
    clock: Arc<FakeClock>,
    metrics: Arc<Metrics>,
}

impl House {
    fn new() -> Self {
        let (clock, metrics) = (Arc::new(FakeClock::default()), Arc::new(Metrics::default()));
        let entropy = Arc::new(Counting(Mutex::new(0)));
        let applications =
            Applications::new(Arc::<FakeClock>::clone(&clock), entropy, Arc::clone(&metrics));
        Self { applications: Arc::new(applications), clock, metrics }
    }

    fn open(&self, caller: Caller) -> Result<Taker, Error> {
        let terms = Terms { profile: None, window: 1, lease_ms: 1_000, is_lasting: true };
        self.applications.open(&caller, terms)
    }

    fn bitten(&self, bound: Bound) -> u64 {
        self.metrics.bounds().find(|(it, _)| *it == bound).map_or(0, |(_, n)| n)
    }
}

type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + 'a>>;

fn now<T>(future: Pin<&mut dyn Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => Some(it),
        Poll::Pending => None,
    }
}

fn question(n: usize) -> Question {
    Question { method: "m".to_owned(), params: n.to_string() }
}

fn ours() -> Caller {
    Caller::tenant(TenantId::SYSTEM)
}

#[test]
fn a_device_gets_the_answer_of_the_application_that_took_its_request() {
    let house = House::new();
    let login = login(false, None);
    let taker = house.open(ours()).expect("a place");
    let mut asking: Asking<'_> = Box::pin(house.applications.ask(&login, question(7)));
    assert_eq!(now(asking.as_mut()), None);
    assert!(now(pin!(taker.given())).is_some());
    let taken = taker.fetch();
    assert_eq!(taken.len(), 1);
    let request = &taken[0];
    assert_eq!((&*request.method, &*request.params, &*request.profile_name), ("m", "7", "default"));
    assert_eq!(taker.lapse_in_ms(), Some(1_000));
    let answer = Answer::Json("true".to_owned());
    let stranger = Caller::tenant(TenantId(Uuid::from_u128(9)));
    let refused = house.applications.answer(&stranger, request.id, answer.clone());
    assert!(matches!(refused, Err(Error::NotFound(_))));
    assert_eq!(house.applications.answer(&ours(), request.id, answer.clone()), Ok(()));
    let again = house.applications.answer(&ours(), request.id, answer.clone());
    assert!(matches!(again, Err(Error::NotFound(_))));
    assert_eq!(now(asking.as_mut()), Some(Ok(answer)));
}

#[test]
fn nobody_but_the_tenant_answers_its_devices() {
    let house = House::new();
    let customer_user = Caller { authority: Authority::CustomerUser, ..ours() };
    for caller in [customer_user, Caller::system()] {
        assert!(matches!(house.open(caller), Err(Error::Denied(_))));
        let answer = house.applications.answer(&caller, Uuid::nil(), Answer::Json("1".to_owned()));
        assert!(matches!(answer, Err(Error::Denied(_))));
    }
}

#[test]
fn a_device_is_told_at_once_that_nobody_is_there() {
    let house = House::new();
    let login = login(false, None);
    let _other = house.open(Caller::tenant(TenantId(Uuid::from_u128(9))));
    let mut asking: Asking<'_> = Box::pin(house.applications.ask(&login, question(1)));
    assert_eq!(now(asking.as_mut()), Some(Err(Reason::ClientCallNoApplication.into())));
}

#[test]
fn a_request_is_gone_when_its_device_stops_waiting() {
    let house = House::new();
    let login = login(false, None);
    let taker = house.open(ours()).expect("a place");
    let mut asking: Asking<'_> = Box::pin(house.applications.ask(&login, question(1)));
    assert_eq!(now(asking.as_mut()), None);
    let taken = taker.fetch();
    drop(asking);
    let late = house.applications.answer(&ours(), taken[0].id, Answer::Json("1".to_owned()));
    assert!(matches!(late, Err(Error::NotFound(_))));
    let state = house.applications.state.lock();
    assert_eq!((state.requests, state.bytes), (0, 0));
}

#[test]
fn requests_and_takers_are_bounded() {
    let house = House::new();
    let login = login(false, None);
    let takers: Vec<_> = (0..TAKERS_PER_TENANT_MAX).map(|_| house.open(ours())).collect();
    assert!(takers.iter().all(Result::is_ok));
    assert!(matches!(house.open(ours()), Err(Error::Busy(_))));
    assert_eq!(house.bitten(Bound::ClientCallTakers), 1);
    // Ids repeat with this entropy, so questions beyond 255 would replace others: bytes are filled.
    let long = || Question { method: "m".to_owned(), params: "x".repeat(REQUEST_BYTES_MAX) };
    let mut asking: Asking<'_> = Box::pin(house.applications.ask(&login, long()));
    assert_eq!(now(asking.as_mut()), Some(Err(Reason::ClientCallsFull.into())));
    assert_eq!(house.bitten(Bound::ClientCallRequests), 1);
    drop(takers);
    assert_eq!(house.applications.state.lock().takers, 0);
    house.clock.advance(1);
    assert!(house.open(ours()).is_ok());
}
