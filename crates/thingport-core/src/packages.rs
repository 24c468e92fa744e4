//! Packages: firmware and software that devices download in parts (device API 7.3).

use bytes::Bytes;
use parking_lot::Mutex;
use thingport_model::ota::{PackageError, PackageKind};
use thingport_model::uplink::PackageRequest;

use crate::registry::DeviceLogin;

/// Every package. So far there is none.
#[derive(Debug, Default)]
pub struct Packages;

/// The downloads of one connection: each has a kind and a number that the device chose (OT-016).
#[derive(Debug, Default)]
pub struct Downloads {
    begun: Mutex<Vec<(PackageKind, u32)>>,
}

impl Packages {
    /// A part of the package that is assigned to a device, and empty bytes beyond its end (OT-013). The
    /// first request of a download pins the package (OT-015) and a size once given is remembered
    /// (OT-011), both in `downloads`.
    ///
    /// # Errors
    /// Why there is no such part; the connection is closed then (OT-017).
    #[expect(clippy::unused_async, reason = "packages are looked up and read")]
    pub async fn chunk(
        &self,
        _login: &DeviceLogin,
        _downloads: &Downloads,
        _request: PackageRequest,
    ) -> Result<Bytes, PackageError> {
        Err(PackageError::NotFound)
    }
}

impl Downloads {
    /// Whether a request is the first of its download, which alone counts as a message (OT-020). Of many
    /// downloads on one connection the oldest is forgotten.
    pub fn begin(&self, request: PackageRequest) -> bool {
        let download = (request.kind, request.request);
        let mut begun = self.begun.lock();
        if begun.contains(&download) {
            return false;
        }
        if begun.len() >= DOWNLOADS_MAX {
            begun.remove(0);
        }
        begun.push(download);
        true
    }
}

/// Downloads remembered of one connection.
const DOWNLOADS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_request_of_a_download_counts() {
        let downloads = Downloads::default();
        let ask = |kind, request, chunk| {
            downloads.begin(PackageRequest { kind, request, chunk, size: None })
        };
        assert!(ask(PackageKind::Firmware, 1, 0));
        assert!(!ask(PackageKind::Firmware, 1, 1));
        assert!(ask(PackageKind::Software, 1, 0));
        for request in 2..=8 {
            assert!(ask(PackageKind::Firmware, request, 0));
        }
        assert!(ask(PackageKind::Firmware, 1, 2), "the oldest is forgotten");
        assert!(!ask(PackageKind::Firmware, 8, 2));
    }
}
