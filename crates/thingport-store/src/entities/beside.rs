//! Entities and ledger of one data directory belong together: each knows of the other.
//!
//! A ledger full of readings beside an empty entity database looks like a first start, and would get
//! new accounts and no devices. So the ledger's mark says whether there must be entities, and the
//! database carries the identity of the directory.

use std::path::Path;
use std::sync::Arc;

use super::{FILE, OpenError, SqliteEntities, schema};
use crate::ledger::{LogLedger, Loss, loss_code};
use crate::log::mark::Bond;
use schema::Present;

impl SqliteEntities {
    /// Opens or creates the database in `dir`, which must exist and be that of `ledger`. `accept_loss`
    /// is the word of a refused start that does without what was lost, or empty.
    ///
    /// # Errors
    /// When the database is missing or empty though it must be there, or belongs to another directory;
    /// and as [`Self::open`].
    pub fn open_beside(
        dir: &Path,
        ledger: &LogLedger,
        accept_loss: &str,
    ) -> Result<Arc<Self>, OpenError> {
        let identity = ledger.identity();
        let present = schema::gate(&dir.join(FILE))?;
        if let Some(loss) = missing(ledger.entities(), &present, &identity.to_string()) {
            let losses = vec![loss];
            let code = loss_code(ledger.whose(), &losses);
            if code != accept_loss {
                return Err(OpenError::Lost { losses, code });
            }
            tracing::error!(loss = %losses[0], "lost for good, as storage.accept_loss says");
        } else if !accept_loss.is_empty() && !ledger.has_just_lost() {
            tracing::warn!("storage.accept_loss is set and nothing is missing: remove it");
        }
        let opened = Self::open_as(dir, Some(&identity.to_string()))?;
        // Only now: a start that was cut short before may have left nothing.
        ledger.expect_entities().map_err(|error| OpenError::Io(error.to_string()))?;
        Ok(opened)
    }
}

fn missing(bond: Bond, present: &Present, identity: &str) -> Option<Loss> {
    match (bond, present) {
        (Bond::None, Present::Nothing) => None,
        (_, Present::Nothing) => Some(Loss::Entities),
        // Made before there were identities, or beside a mark that was lost: taken for ours.
        (Bond::None, Present::Ours(None)) | (Bond::Expected, Present::Ours(_)) => None,
        (_, Present::Ours(Some(found))) if found == identity => None,
        (_, Present::Ours(_)) => Some(Loss::EntitiesForeign),
    }
}
