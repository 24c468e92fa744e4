//! The fleet as a list: devices with what people look for first when one of them is quiet.
//!
//! The registry answers which devices and in which order; connections, readings and refusals are looked
//! up for the rows of one page alone, so that what a list costs does not grow with the fleet.

mod rollout;

use thingport_model::device::{Among, DeviceOverview};
use thingport_model::incident::Incident;
use thingport_model::page::{Page, PageLink};
use thingport_model::port::ledger::Keys;
use thingport_model::time::Timestamp;

use crate::access::Caller;
use crate::error::Error;
use crate::node::Node;
use crate::registry::devices::DeviceChoice;

pub use rollout::{FailedUpdate, Rollout};

/// One device of the fleet.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The device.
    pub overview: DeviceOverview,
    /// Whether a connection of it is open.
    pub is_connected: bool,
    /// Time of its newest reading.
    pub last_reading: Option<Timestamp>,
    /// The newest refusal, rejected message or disconnect that somebody should look at.
    pub last_refusal: Option<Incident>,
}

impl Node {
    /// A page of the devices the caller may see; only connected ones, or those that are not, if that is
    /// wanted.
    ///
    /// # Errors
    /// As [`Registry::devices`](crate::registry::Registry::devices), or the store's trouble.
    pub async fn fleet(
        &self,
        caller: &Caller,
        choice: DeviceChoice,
        connected: Option<bool>,
        link: PageLink,
    ) -> Result<Page<Sight>, Error> {
        let among = connected.map(|wanted| Among {
            ids: self.presence.everybody().keys().copied().collect(),
            wanted,
        });
        let choice = DeviceChoice { among: among.or(choice.among), ..choice };
        let page = self.registry.devices(caller, choice, link).await?;
        let mut rows = Vec::with_capacity(page.rows.len());
        for overview in page.rows {
            rows.push(self.sight(overview).await?);
        }
        Ok(Page { rows, total: page.total })
    }

    async fn sight(&self, overview: DeviceOverview) -> Result<Sight, Error> {
        let id = overview.device.id;
        let latest = self.ledger.latest(id.entity(), Keys::All).await?;
        let incidents = self.journal.incidents(id.entity()).await?;
        Ok(Sight {
            overview,
            is_connected: self.presence.is_connected(id),
            last_reading: latest.iter().map(|reading| reading.at).max(),
            last_refusal: incidents.into_iter().find(|incident| !incident.reason.is_ordinary()),
        })
    }
}
