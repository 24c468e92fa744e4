//! Measures the entity database on the disk of the working directory: durable creations alone and
//! sixty-four at a time, token look-ups, and pages of twenty among 100,000 devices.
//!
//! `cargo run --release -p thingport-store --example entities`

use std::sync::Arc;
use std::time::{Duration, Instant};

use thingport_core::access::Caller;
use thingport_core::clock::{Clock, Entropy};
use thingport_core::registry::Registry;
use thingport_core::registry::devices::{DeviceChoice, DeviceDraft};
use thingport_core::registry::first_run::FirstPeople;
use thingport_model::page::{PageLink, Sort};
use thingport_model::port::entities::Entities;
use thingport_model::time::Timestamp;
use thingport_store::entities::SqliteEntities;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let directory = tempfile::tempdir_in(".")?;
    let entities = SqliteEntities::open(directory.path())?;
    let house = House::build(entities.clone()).await?;
    let spent = cpu();
    let took = house.create(0, ALONE).await?;
    report("one durable create (device and credentials)", took, spent, ALONE);
    let spent = cpu();
    let took = house.create_together(ALONE, DEVICES).await?;
    report("the same, sixty-four callers", took, spent, DEVICES - ALONE);
    house.look_up(&*entities).await?;
    house.list().await?;
    let bytes = std::fs::metadata(directory.path().join("entities.db"))?.len();
    say(&format!("file: {} bytes per device", bytes / u64::from(DEVICES)));
    Ok(())
}

#[derive(Clone)]
struct House {
    registry: Arc<Registry>,
    admin: Caller,
}

impl House {
    async fn build(entities: Arc<SqliteEntities>) -> Outcome<Self> {
        let (clock, chance) = (Arc::new(Wall(Instant::now())), Arc::new(Chance));
        let registry = Registry::new(entities, clock, chance, Arc::new(()));
        let people = FirstPeople {
            system_email: "root@example.org".to_owned(),
            system_password: String::new(),
            tenant_title: "First".to_owned(),
            tenant_email: "admin@example.org".to_owned(),
            tenant_password: String::new(),
        };
        registry.found(&people, &|_| String::new()).await.map_err(told)?;
        let tenants = registry.tenants(&Caller::system(), link()).await.map_err(told)?;
        let admin = Caller::tenant(tenants.rows[0].id);
        Ok(Self { registry: Arc::new(registry), admin })
    }

    async fn create(&self, from: u32, to: u32) -> Outcome<Duration> {
        let start = Instant::now();
        for number in from..to {
            self.create_one(number).await?;
        }
        Ok(start.elapsed())
    }

    async fn create_one(&self, number: u32) -> Outcome<()> {
        let draft = DeviceDraft {
            label: Some(format!("hall {}", number % 100)),
            ..DeviceDraft::new(&format!("pump-{number}"))
        };
        let token = format!("token-{number}");
        self.registry.save_device(&self.admin, draft, Some(&token)).await.map_err(told)?;
        Ok(())
    }

    async fn create_together(&self, from: u32, to: u32) -> Outcome<Duration> {
        let start = Instant::now();
        let share = (to - from) / CALLERS;
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let house = self.clone();
            let first = from + caller * share;
            let last = if caller + 1 == CALLERS { to } else { first + share };
            tasks.spawn(async move {
                house.create(first, last).await.map_err(|error| error.to_string())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(start.elapsed())
    }

    async fn look_up(&self, entities: &dyn Entities) -> Outcome<()> {
        let tokens: Vec<String> =
            (0..LOOK_UPS).map(|number| format!("token-{}", number * 7 % DEVICES)).collect();
        let (start, spent) = (Instant::now(), cpu());
        for token in &tokens {
            assert!(entities.credentials_by_id(token).await?.is_some());
        }
        report("credentials by token, from the store", start.elapsed(), spent, LOOK_UPS);
        for name in ["login by token, not remembered", "login by token, remembered"] {
            let (start, spent) = (Instant::now(), cpu());
            for token in &tokens {
                assert!(self.registry.login_by_credentials_id(token).await?.is_some());
            }
            report(name, start.elapsed(), spent, LOOK_UPS);
        }
        Ok(())
    }

    async fn list(&self) -> Outcome<()> {
        let sort =
            |property: &str, descending| Some(Sort { property: property.to_owned(), descending });
        let text = |text: &str| Some(text.to_owned());
        let rows = [
            ("first page", link()),
            ("page 2,500", PageLink { page: 2_500, ..link() }),
            ("newest first", PageLink { sort: sort("createdTime", true), ..link() }),
            ("by name", PageLink { sort: sort("name", false), ..link() }),
            ("by label", PageLink { sort: sort("label", false), ..link() }),
            ("by profile name", PageLink { sort: sort("deviceProfileName", false), ..link() }),
            ("text search, 1,000 hits", PageLink { text_search: text("HALL 42"), ..link() }),
            ("text search, 1 hit", PageLink { text_search: text("pump-77777"), ..link() }),
            (
                "text search, newest first",
                PageLink {
                    text_search: text("HALL 42"),
                    sort: sort("createdTime", true),
                    ..link()
                },
            ),
        ];
        for (name, link) in rows {
            let (start, spent) = (Instant::now(), cpu());
            for _ in 0..PAGES {
                let choice = DeviceChoice::default();
                let devices = self.registry.devices(&self.admin, choice, link.clone());
                assert!(!devices.await.map_err(told)?.rows.is_empty());
            }
            report(&format!("page of 20 of 100,000: {name}"), start.elapsed(), spent, PAGES);
        }
        Ok(())
    }
}

fn link() -> PageLink {
    PageLink { page: 0, size: 20, text_search: None, sort: None }
}

fn report(what: &str, took: Duration, spent_before: Duration, times: u32) {
    let (each, spent) = (took / times, (cpu().saturating_sub(spent_before)) / times);
    say(&format!("{what}: {each:.1?} each, {spent:.1?} CPU"));
}

#[expect(clippy::print_stdout, reason = "printing is what a measurement is for")]
fn say(text: &str) {
    println!("{text}");
}

/// CPU time of all threads so far, in steps of a hundredth of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(12) + ticks(13)) * 10)
}

fn told(error: thingport_core::error::Error) -> String {
    format!("{error:?}")
}

struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp(1_767_225_600_000 + i64::try_from(self.monotonic_ms()).unwrap_or(i64::MAX))
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Random bytes of the kernel.
struct Chance;

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        use std::hash::{BuildHasher, RandomState};
        for part in out.chunks_mut(8) {
            let random = RandomState::new().hash_one(0_u8).to_le_bytes();
            part.copy_from_slice(&random[..part.len()]);
        }
    }
}

const ALONE: u32 = 2_000;
const DEVICES: u32 = 100_000;
const CALLERS: u32 = 64;
const LOOK_UPS: u32 = 20_000;
const PAGES: u32 = 20;
