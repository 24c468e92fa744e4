//! Whether devices report (device API section 11): what is kept of it beside their attributes.

use crate::id::DeviceId;
use crate::time::Timestamp;

/// What the house knows of a device's reporting, so that it finds those that may fall silent. The
/// numbers are part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceActivity {
    /// It never said anything, and its inactivity timeout has not passed since it was created (AC-010).
    New = 0,
    /// It said something within its inactivity timeout. Whenever its attribute `active` is true, the
    /// device is so here.
    Active = 1,
    /// It said nothing for its inactivity timeout, and that is written down.
    Inactive = 2,
}

/// A device that is active, or new, and must become inactive in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedDevice {
    /// Which one.
    pub id: DeviceId,
    /// When it was created.
    pub created_at: Timestamp,
    /// What is known of it; never [`DeviceActivity::Inactive`].
    pub activity: DeviceActivity,
}

impl DeviceActivity {
    /// The state with this stored number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::New),
            1 => Some(Self::Active),
            2 => Some(Self::Inactive),
            _ => None,
        }
    }
}
