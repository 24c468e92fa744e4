//! Data of packages in memory, for tests: they are gone when the process ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use thingport_model::id::PackageFileId;
use thingport_model::port::error::PortError;
use thingport_model::port::packages::{PackageFiles, PackageWriter};

type Files = Arc<Mutex<BTreeMap<PackageFileId, Bytes>>>;

/// Files that are gone when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryPackageFiles(Files);

struct Unfinished {
    files: Files,
    file: PackageFileId,
    bytes: BytesMut,
}

#[async_trait]
impl PackageFiles for MemoryPackageFiles {
    async fn begin(&self, file: PackageFileId) -> Result<Box<dyn PackageWriter>, PortError> {
        let files = Arc::clone(&self.0);
        Ok(Box::new(Unfinished { files, file, bytes: BytesMut::new() }))
    }

    async fn read(&self, file: PackageFileId, at: u64, len: usize) -> Result<Bytes, PortError> {
        let files = self.0.lock();
        let bytes =
            files.get(&file).ok_or_else(|| PortError::Unavailable("no such file".to_owned()))?;
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let end = at.saturating_add(len).min(bytes.len());
        Ok(bytes.slice(at..end))
    }

    async fn list(&self) -> Result<Vec<PackageFileId>, PortError> {
        Ok(self.0.lock().keys().copied().collect())
    }

    async fn remove(&self, file: PackageFileId) -> Result<(), PortError> {
        self.0.lock().remove(&file);
        Ok(())
    }
}

#[async_trait]
impl PackageWriter for Unfinished {
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), PortError> {
        self.files.lock().insert(self.file, self.bytes.freeze());
        Ok(())
    }
}
