//! How far a package has come: which of the devices that should have it said what about it.

use std::collections::BTreeMap;

use thingport_model::device::Device;
use thingport_model::id::{DeviceId, PackageId};
use thingport_model::ota::{AssignedPackages, Package};
use thingport_model::page::PageLink;
use thingport_model::port::ledger::Keys;
use thingport_model::reading::Reading;
use thingport_model::value::Value;

use crate::access::Caller;
use crate::error::Error;
use crate::node::Node;
use crate::registry::devices::DeviceChoice;

/// How far a package has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Devices that should have it: by themselves, or by their profile.
    pub devices: u64,
    /// Of these, how many were not told of it yet.
    pub untold: u64,
    /// Of all others, how many are in which state; the states are those that devices send (OT-005).
    pub states: BTreeMap<String, u64>,
    /// Some of those that failed.
    pub failed: Vec<FailedUpdate>,
}

/// A device whose update failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedUpdate {
    /// Which.
    pub device_id: DeviceId,
    /// Its name.
    pub name: String,
    /// What it said about it; empty when it said nothing.
    pub error: String,
}

impl Node {
    /// How far a package has come. Looks at every device of the package's profile.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing or foreign package, [`Error::Denied`] by role, or the store's
    /// trouble.
    pub async fn rollout(&self, caller: &Caller, id: PackageId) -> Result<Rollout, Error> {
        caller.must_be_tenant()?;
        let package = self.registry.package(caller, id).await?;
        let fleet = self.registry.profile(caller, package.profile_id).await?.packages;
        let mut rollout = Rollout::default();
        for page in 0.. {
            let link = PageLink { page, size: READ_ROWS, text_search: None, sort: None };
            let choice =
                DeviceChoice { profile_id: Some(package.profile_id), ..DeviceChoice::default() };
            let read = self.registry.devices(caller, choice, link).await?.rows;
            let is_last = read.len() < READ_ROWS as usize;
            for row in read {
                self.count(&mut rollout, &package, fleet, row.device).await?;
            }
            if is_last {
                break;
            }
        }
        Ok(rollout)
    }

    async fn count(
        &self,
        rollout: &mut Rollout,
        package: &Package,
        fleet: AssignedPackages,
        device: Device,
    ) -> Result<(), Error> {
        if device.packages.beside(&fleet).of(package.kind) != Some(package.id) {
            return Ok(());
        }
        let prefix = package.kind.prefix();
        let [title, version] = ["title", "version"].map(|it| format!("target_{prefix}_{it}"));
        let [state, error] = ["state", "error"].map(|it| format!("{prefix}_{it}"));
        let keys = Keys::Named(vec![title.clone(), version.clone(), state.clone(), error.clone()]);
        let latest = self.ledger.latest(device.id.entity(), keys).await?;
        rollout.devices += 1;
        let is_told = text(&latest, &title) == Some(package.title.as_str())
            && text(&latest, &version) == Some(package.version.as_str());
        let Some(state) = text(&latest, &state).filter(|_| is_told) else {
            rollout.untold += 1;
            return Ok(());
        };
        if state == FAILED && rollout.failed.len() < FAILED_MAX {
            let error = text(&latest, &error).unwrap_or_default().to_owned();
            rollout.failed.push(FailedUpdate { device_id: device.id, name: device.name, error });
        }
        // Devices write what they like; what nobody knows is counted together.
        let state = STATES.iter().find(|known| **known == state).copied().unwrap_or(OTHER);
        *rollout.states.entry(state.to_owned()).or_default() += 1;
        Ok(())
    }
}

fn text<'a>(latest: &'a [Reading], key: &str) -> Option<&'a str> {
    let found = latest.iter().find(|reading| reading.key == key)?;
    match &found.value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

const FAILED: &str = "FAILED";
const OTHER: &str = "OTHER";
const STATES: [&str; 8] =
    ["QUEUED", "INITIATED", "DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED", FAILED];
/// Devices read at once.
const READ_ROWS: u32 = 5_000;
/// Failed devices that are named.
const FAILED_MAX: usize = 50;
