//! Which devices report, over plain maps.

use thingport_model::activity::{DeviceActivity, WatchedDevice};
use thingport_model::device::Device;
use thingport_model::id::DeviceId;

use super::State;

impl State {
    pub(super) fn put_activity(&mut self, device: DeviceId, activity: DeviceActivity) {
        if self.devices.contains_key(&device) {
            self.activities.insert(device, activity);
        }
    }

    pub(super) fn activity(&self, device: DeviceId) -> DeviceActivity {
        self.activities.get(&device).copied().unwrap_or(DeviceActivity::New)
    }

    pub(super) fn watched(&self, after: Option<DeviceId>, limit: u32) -> Vec<WatchedDevice> {
        let behind = |device: &&Device| after.is_none_or(|after| device.id > after);
        let devices = self.devices.values().filter(behind).map(|device| WatchedDevice {
            id: device.id,
            created_at: device.created_at,
            activity: self.activity(device.id),
        });
        let watched = devices.filter(|it| it.activity != DeviceActivity::Inactive);
        watched.take(limit as usize).collect()
    }
}
