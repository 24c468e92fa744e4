//! What the house asks of whoever keeps sessions over connections.

use async_trait::async_trait;

use crate::id::DeviceId;
use crate::port::error::PortError;
use crate::session::KeptSession;

/// Kept sessions, beside the entities: part of [`Entities`](crate::port::entities::Entities).
#[async_trait]
pub trait SessionRecords: Send + Sync {
    /// Kept sessions in order of their devices' ids, behind the given one; at most `limit`.
    async fn kept_sessions(
        &self,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<KeptSession>, PortError>;
}
