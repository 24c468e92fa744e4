//! What went wrong in SQLite, in the words of the port.

use rusqlite::ErrorCode;
use rusqlite::ffi;
use thingport_model::port::error::{Conflict, PortError};

use crate::ledger::{Loss, report_losses};

/// Why the entity database could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// It was written by a newer program.
    Newer {
        /// Version of the file.
        found: i32,
        /// Newest version this program knows.
        known: i32,
    },
    /// It is a SQLite database of another program.
    Foreign,
    /// It is not there, or not the right one.
    Lost {
        /// What exactly.
        losses: Vec<Loss>,
        /// The word that accepts it.
        code: String,
    },
    /// The file system or SQLite refused.
    Io(String),
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Newer { found, known } => write!(
                f,
                "the entity database has version {found}, this program knows versions up to {known}; \
                 start the newer program again, or restore a copy from before the upgrade"
            ),
            Self::Foreign => f.write_str(
                "the file of the entity database belongs to another program; choose another directory",
            ),
            Self::Lost { losses, code } => {
                f.write_str("Acknowledged data is missing from the data directory:")?;
                report_losses(f, losses, code)
            }
            Self::Io(why) => write!(f, "the entity database cannot be opened: {why}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// A fault of a read, or of a write whose step decides what a broken reference means.
pub(super) fn port_error(error: &rusqlite::Error, reference: Conflict) -> PortError {
    let rusqlite::Error::SqliteFailure(failure, text) = error else {
        return PortError::Corrupt(error.to_string());
    };
    match failure.code {
        ErrorCode::ConstraintViolation => {
            conflict(failure.extended_code, text.as_deref().unwrap_or_default(), reference)
        }
        ErrorCode::DiskFull => PortError::Full,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            PortError::Corrupt(error.to_string())
        }
        ErrorCode::SystemIoFailure => PortError::Failed(error.to_string()),
        _ => PortError::Unavailable(error.to_string()),
    }
}

fn conflict(extended: i32, text: &str, reference: Conflict) -> PortError {
    if extended == ffi::SQLITE_CONSTRAINT_FOREIGNKEY {
        return PortError::Conflict(reference);
    }
    let known = UNIQUE.iter().find(|(column, _)| text.contains(column));
    match known {
        Some((_, conflict)) => PortError::Conflict(*conflict),
        None => PortError::Corrupt(format!("an unknown constraint is broken: {text}")),
    }
}

/// The last column that SQLite names when a unique index refuses.
const UNIQUE: &[(&str, Conflict)] = &[
    ("tenant_profile.name", Conflict::TenantProfileName),
    ("customer.title", Conflict::CustomerTitle),
    ("person.email_lower", Conflict::UserEmail),
    ("device_profile.name", Conflict::ProfileName),
    ("device_profile.provision_key", Conflict::ProvisionKey),
    ("device.name", Conflict::DeviceName),
    ("device_credentials.credentials_id", Conflict::CredentialsId),
    ("package.package_version", Conflict::PackageName),
    ("api_key.hash", Conflict::ApiKeyHash),
    // A record that exists already was to be created.
    (".id", Conflict::Version),
    ("device_credentials.device_id", Conflict::Version),
    ("relation.to_id", Conflict::Version),
];
