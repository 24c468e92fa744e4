//! Devices that speak through another, by the names it knows them by: found, or made (device API 8.3).
//!
//! Any gateway may speak for any device of its tenant (GW-020). A device that is not there is made with the
//! profile of the name that the gateway gives, as its customer's, with a random access token and with a
//! relation `Created` from the gateway (GW-021, L-1); all of that or nothing. Many names are looked up and
//! made together, a few hundred in one write.

use std::collections::HashMap;

use serde_json::{Map, Value};
use thingport_model::device::Device;
use thingport_model::id::{DeviceId, EntityKind};
use thingport_model::ota::AssignedPackages;
use thingport_model::port::entities::Write;
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::profile::DeviceProfile;
use thingport_model::reason::Reason;
use thingport_model::relation::{CREATED, Relation, RelationGroup, RelationKey};
use thingport_model::tenant::OpaqueJson;

use super::credentials::Secret;
use super::devices::{DeviceDraft, device_data};
use super::{DeviceLogin, Registry, text};
use crate::error::Error;
use crate::presence::Failure;

/// A child that somebody speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildWish {
    /// As it is called.
    pub name: Box<str>,
    /// Name of its profile if it has to be made; none for `default`.
    pub kind: Option<Box<str>>,
    /// The label it gets; and an older name of it, under which it may be known (SP-034).
    pub label: Option<Box<str>>,
}

/// Which device a child is, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundChild {
    /// As it was asked for.
    pub name: Box<str>,
    /// Which device.
    pub device: Result<DeviceId, Failure>,
}

/// A child as it would be stored.
struct NewChild {
    at: usize,
    id: DeviceId,
    name: String,
    credentials_id: String,
    is_announced: bool,
    writes: Vec<Write>,
}

/// The profiles that new children of one round get, by name.
type Profiles = HashMap<String, Result<DeviceProfile, Failure>>;

impl Registry {
    /// Finds the devices of these names for a gateway or edge node, and makes those that are not there. One
    /// answer for each wish, in their order; no name may stand there twice. What was made is durable.
    ///
    /// To be run to its end once it was begun: devices that were made are announced at the end.
    pub async fn find_children(
        &self,
        gateway: &DeviceLogin,
        wishes: Vec<ChildWish>,
    ) -> Vec<FoundChild> {
        let mut found: Vec<_> = wishes.iter().map(|_| None).collect();
        let names = wishes.iter().enumerate().filter_map(|(at, wish)| {
            match text::required("the name", &wish.name) {
                Ok(()) => Some(String::from(&*wish.name)),
                Err(error) => {
                    found[at] = Some(Err(failure(Reason::ChildName, &error)));
                    None
                }
            }
        });
        let names: Vec<_> = names.collect();
        match self.entities.devices_by_names(gateway.tenant_id, names).await {
            Ok(devices) => self.meet(gateway, &wishes, devices, &mut found).await,
            Err(error) => fill(&mut found, &not_made(&error)),
        }
        self.rename_children(gateway, &wishes, &mut found).await;
        self.make_children(gateway, &wishes, &mut found).await;
        let missing = || Err(Reason::ChildNotMade.into());
        let pairs = wishes.into_iter().zip(found);
        pairs
            .map(|(wish, device)| FoundChild {
                name: wish.name,
                device: device.unwrap_or_else(missing),
            })
            .collect()
    }

    /// Notes those that exist, and with them which gateway they were last seen behind (GW-022).
    async fn meet(
        &self,
        gateway: &DeviceLogin,
        wishes: &[ChildWish],
        devices: Vec<Device>,
        found: &mut [Option<Result<DeviceId, Failure>>],
    ) {
        let places: HashMap<_, _> =
            wishes.iter().enumerate().map(|(at, wish)| (&*wish.name, at)).collect();
        let mut touched = Vec::new();
        for device in devices {
            let place = places.get(device.name.as_str()).and_then(|at| found.get_mut(*at));
            let Some(place) = place else { continue };
            if device.id == gateway.device_id {
                let detail = "a gateway speaks for itself on the topics of devices".to_owned();
                *place = Some(Err(Failure { reason: Reason::ChildName, detail }));
                continue;
            }
            *place = Some(Ok(device.id));
            let seen = with_gateway(device.additional_info.as_deref(), gateway.device_id);
            if let Some(additional_info) = seen {
                let version = device.version.saturating_add(1);
                let additional_info = Some(additional_info);
                touched.push(Write::Device(Device { additional_info, version, ..device }));
            }
        }
        for some in touched.chunks(TOGETHER_MAX) {
            if self.entities.write(some.to_vec()).await.is_err() {
                // Somebody changed one of them meanwhile: then that one is noted next time.
                for one in some {
                    let _ = self.entities.write(vec![one.clone()]).await;
                }
            }
        }
    }

    /// Gives those their names that are known by their labels alone: older installations named the devices
    /// of an edge node so. Only what this gateway has made is touched (SP-034).
    async fn rename_children(
        &self,
        gateway: &DeviceLogin,
        wishes: &[ChildWish],
        found: &mut [Option<Result<DeviceId, Failure>>],
    ) {
        for (wish, found) in wishes.iter().zip(found).filter(|(_, found)| found.is_none()) {
            let Some(label) = wish.label.as_deref() else { continue };
            // When the store does not answer, the next step will say so.
            let older = self.entities.device_by_name(gateway.tenant_id, label).await;
            let Ok(Some(device)) = older else { continue };
            let (from, to) = (gateway.device_id.entity(), device.id.entity());
            let key =
                RelationKey { from, group: RelationGroup::Common, name: CREATED.to_owned(), to };
            if !matches!(self.entities.relation(key).await, Ok(Some(_))) {
                continue;
            }
            let id = device.id;
            let kept = device.label.clone().filter(|label| !label.is_empty());
            let renamed = Device {
                name: String::from(&*wish.name),
                label: kept.or_else(|| Some(label.to_owned())),
                version: device.version.saturating_add(1),
                ..device
            };
            if self.entities.write(vec![Write::Device(renamed)]).await.is_ok() {
                self.events.device_changed(id);
                *found = Some(Ok(id));
            }
        }
    }

    /// Makes those that were not found, some together.
    async fn make_children(
        &self,
        gateway: &DeviceLogin,
        wishes: &[ChildWish],
        found: &mut [Option<Result<DeviceId, Failure>>],
    ) {
        let missing: Vec<_> =
            (0..wishes.len()).filter(|at| found.get(*at).is_some_and(Option::is_none)).collect();
        if missing.is_empty() {
            return;
        }
        let room = match self.room_for_devices(gateway).await {
            Ok(room) => room,
            Err(error) => return fill(found, &not_made(&error)),
        };
        let mut profiles = Profiles::new();
        let (fits, too_many) = missing.split_at(missing.len().min(room.left));
        for at in too_many {
            found[*at] = Some(Err(limit(room.max)));
        }
        for some in fits.chunks(TOGETHER_MAX) {
            let mut new = Vec::with_capacity(some.len());
            for at in some {
                let Some(wish) = wishes.get(*at) else { continue };
                match self.new_child(gateway, *at, wish, &mut profiles).await {
                    Ok(child) => new.push(child),
                    Err(failure) => found[*at] = Some(Err(failure)),
                }
            }
            self.write_children(gateway, new, room.max, found).await;
        }
    }

    async fn write_children(
        &self,
        gateway: &DeviceLogin,
        new: Vec<NewChild>,
        devices_max: u64,
        found: &mut [Option<Result<DeviceId, Failure>>],
    ) {
        let mut writes: Vec<_> = new.iter().flat_map(|child| child.writes.clone()).collect();
        let at_most = Write::AtMost(gateway.tenant_id, EntityKind::Device, devices_max);
        let at_most = (devices_max > 0).then_some(at_most);
        writes.extend(at_most.clone());
        match self.entities.write(writes).await {
            Ok(()) => {
                for child in new {
                    found[child.at] = Some(Ok(child.id));
                    self.child_made(&child);
                }
            }
            Err(PortError::Conflict(_)) => {
                // Somebody was faster with one of them. The others must not pay for that.
                for child in new {
                    let mut writes = child.writes.clone();
                    writes.extend(at_most.clone());
                    let written = self.entities.write(writes).await;
                    let settled = self.settled(gateway, &child, written, devices_max).await;
                    found[child.at] = Some(settled);
                }
            }
            Err(error) => {
                let failed = not_made(&error);
                new.iter().for_each(|child| found[child.at] = Some(Err(failed.clone())));
            }
        }
    }

    /// What came of one child that was written alone.
    async fn settled(
        &self,
        gateway: &DeviceLogin,
        child: &NewChild,
        written: Result<(), PortError>,
        devices_max: u64,
    ) -> Result<DeviceId, Failure> {
        match written {
            Ok(()) => {
                self.child_made(child);
                Ok(child.id)
            }
            Err(PortError::Conflict(Conflict::DeviceName)) => {
                let made = self.entities.device_by_name(gateway.tenant_id, &child.name).await;
                let made = made.map_err(|error| not_made(&error))?;
                made.map(|device| device.id).ok_or_else(|| Reason::ChildNotMade.into())
            }
            Err(PortError::Conflict(Conflict::TooMany)) => Err(limit(devices_max)),
            Err(error) => Err(not_made(&error)),
        }
    }

    fn child_made(&self, child: &NewChild) {
        // The id may be remembered as nobody's (AU-034).
        self.logins.forget_logins([child.credentials_id.as_str()]);
        self.packages_assigned(child.is_announced);
        self.events.device_created(child.id);
    }

    async fn new_child(
        &self,
        gateway: &DeviceLogin,
        at: usize,
        wish: &ChildWish,
        profiles: &mut Profiles,
    ) -> Result<NewChild, Failure> {
        let kind = wish.kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or(DEFAULT_KIND);
        if !profiles.contains_key(kind) {
            let profile = self.profile_named(gateway.tenant_id, kind).await;
            let profile = profile.map_err(|error| match error {
                Error::Invalid(_) => failure(Reason::ChildName, &error),
                other => failure(Reason::ChildNotMade, &other),
            });
            profiles.insert(kind.to_owned(), profile);
        }
        let profile = match profiles.get(kind) {
            Some(Ok(profile)) => profile,
            Some(Err(failure)) => return Err(failure.clone()),
            None => return Err(Reason::ChildNotMade.into()),
        };
        let created_at = self.now();
        let id = DeviceId(self.new_id(created_at));
        let secret = Secret::AccessToken(String::new());
        let credentials = self.new_credentials(id, created_at, &secret);
        let credentials = credentials.map_err(|error| failure(Reason::ChildNotMade, &error))?;
        let packages = (AssignedPackages::default(), profile.packages);
        let announced = self.announcements(id, packages, created_at);
        let device = Device {
            id,
            created_at,
            tenant_id: gateway.tenant_id,
            customer_id: gateway.customer_id,
            name: String::from(&*wish.name),
            device_data: device_data(&DeviceDraft::new(&wish.name), profile),
            packages: AssignedPackages::default(),
            profile_id: profile.id,
            profile_name: profile.name.clone(),
            label: wish.label.as_deref().map(str::to_owned),
            is_gateway: false,
            additional_info: with_gateway(None, gateway.device_id),
            version: 1,
        };
        let (from, to) = (gateway.device_id.entity(), id.entity());
        let key = RelationKey { from, group: RelationGroup::Common, name: CREATED.to_owned(), to };
        let tenant_id = gateway.tenant_id;
        let relation = Relation { key, tenant_id, additional_info: None, version: 1 };
        let (name, credentials_id) = (device.name.clone(), credentials.credentials_id.clone());
        let is_announced = !announced.is_empty();
        let mut writes = vec![Write::Device(device), Write::DeviceCredentials(credentials)];
        writes.push(Write::Relation(relation));
        writes.extend(announced);
        Ok(NewChild { at, id, name, credentials_id, is_announced, writes })
    }

    async fn room_for_devices(&self, gateway: &DeviceLogin) -> Result<Room, PortError> {
        let tenant = gateway.tenant_id;
        let max = self.limits(self.logins.generation(), tenant).await?.devices_max;
        if max == 0 {
            return Ok(Room { max, left: usize::MAX });
        }
        let left = max.saturating_sub(self.entities.device_count(tenant).await?);
        Ok(Room { max, left: usize::try_from(left).unwrap_or(usize::MAX) })
    }
}

/// How many devices a tenant may have, 0 for any number, and how many more.
struct Room {
    max: u64,
    left: usize,
}

/// `additionalInfo` that names the gateway; none when it does so already, or is no object.
fn with_gateway(additional_info: Option<&str>, gateway: DeviceId) -> Option<OpaqueJson> {
    let stored = additional_info.map(serde_json::from_str::<Value>);
    let mut members = match stored {
        None | Some(Ok(Value::Null)) => Map::new(),
        Some(Ok(Value::Object(members))) => members,
        Some(_) => return None,
    };
    let id = Value::String(gateway.0.to_string());
    if members.get(LAST_CONNECTED_GATEWAY) == Some(&id) {
        return None;
    }
    members.insert(LAST_CONNECTED_GATEWAY.to_owned(), id);
    Some(Value::Object(members).to_string())
}

/// Whether what is kept of a gateway says that its children are active while it is (GW-063).
pub(super) fn keeps_children_active(additional_info: Option<&str>) -> bool {
    let stored = additional_info.map(serde_json::from_str::<Value>);
    matches!(stored, Some(Ok(stored)) if stored.get(OVERWRITE_ACTIVITY_TIME) == Some(&Value::Bool(true)))
}

fn fill(found: &mut [Option<Result<DeviceId, Failure>>], failure: &Failure) {
    let missing = found.iter_mut().filter(|it| it.is_none());
    missing.for_each(|it| *it = Some(Err(failure.clone())));
}

fn limit(max: u64) -> Failure {
    Failure { reason: Reason::ChildLimit, detail: format!("{max} devices") }
}

fn not_made(error: &PortError) -> Failure {
    Failure { reason: Reason::ChildNotMade, detail: error.to_string() }
}

fn failure(reason: Reason, error: &Error) -> Failure {
    let detail = match error {
        Error::Invalid(text) => text.clone(),
        other => format!("{other:?}"),
    };
    Failure { reason, detail }
}

/// Members of `additionalInfo` with a meaning, by ThingsBoard's names (REST API 8.1).
const LAST_CONNECTED_GATEWAY: &str = "lastConnectedGateway";
const OVERWRITE_ACTIVITY_TIME: &str = "overwriteActivityTime";
/// The profile of children whose gateway names none (GW-011, GW-016).
const DEFAULT_KIND: &str = "default";
/// Devices made or changed in one write: few enough that others' writes come in between.
const TOGETHER_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use thingport_model::id::NIL;

    use super::*;

    /// GW-022, GW-063
    #[test]
    fn the_last_gateway_is_noted_beside_what_else_is_kept_of_a_device() {
        let id = NIL.to_string();
        let ours = format!(r#"{{"lastConnectedGateway":"{id}"}}"#);
        let rows = [
            (None, Some(ours.clone())),
            (Some("null"), Some(ours.clone())),
            (Some("{}"), Some(ours.clone())),
            (Some(&*ours), None),
            (
                Some(r#"{"lastConnectedGateway":"other","x":1.10}"#),
                Some(format!(r#"{{"lastConnectedGateway":"{id}","x":1.10}}"#)),
            ),
            (Some("[]"), None),
            (Some("7"), None),
        ];
        for (stored, expected) in rows {
            assert_eq!(with_gateway(stored, DeviceId(NIL)), expected, "{stored:?}");
        }
        let rows = [
            (None, false),
            (Some("{}"), false),
            (Some(r#"{"overwriteActivityTime":true}"#), true),
            (Some(r#"{"overwriteActivityTime":"true"}"#), false),
        ];
        for (stored, expected) in rows {
            assert_eq!(keeps_children_active(stored), expected, "{stored:?}");
        }
    }
}
