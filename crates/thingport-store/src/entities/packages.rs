//! Packages in SQLite: their rows, and the announcements that wait.

use async_trait::async_trait;
use rusqlite::{Connection, Row, ToSql};
use thingport_model::id::{DeviceId, DeviceProfileId, PackageFileId, PackageId, TenantId};
use thingport_model::ota::{
    Announcement, AnnouncementStage, AssignedPackages, Package, PackageKind,
};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::port::packages::{PackageFilter, PackageRecords};
use uuid::Uuid;

use super::SqliteEntities;
use super::document::{Document as _, PackageDocument};
use super::list::{List, package_sort};
use super::query::{corrupt, count, document, get, id, many, maybe_id, moment};
use super::search::searchable;
use super::statement::{put, remove, run};

#[async_trait]
impl PackageRecords for SqliteEntities {
    async fn package(&self, id: PackageId) -> Result<Option<Package>, PortError> {
        self.by_id("SELECT * FROM package WHERE id = $1", id.0, package).await
    }

    async fn packages(
        &self,
        filter: PackageFilter,
        link: PageLink,
    ) -> Result<Page<Package>, PortError> {
        let ask = move |connection: &Connection| {
            let mut list = List::of("package").belonging("tenant_id", Some(filter.tenant_id.0));
            if let Some((profile, kind)) = filter.ready_for {
                list = list.belonging("profile_id", Some(profile.0));
                list = list.numbered("kind", Some(kind as i64)).numbered("is_ready", Some(1));
            }
            let list = list.searched(link.text_search.as_deref());
            list.page(connection, &link, package_sort, package)
        };
        self.readers.ask(ask).await
    }

    async fn package_bytes(&self, tenant: TenantId) -> Result<u64, PortError> {
        self.counted(BYTES, tenant.0).await
    }

    async fn package_files(&self) -> Result<Vec<PackageFileId>, PortError> {
        let sql = "SELECT file_id FROM package WHERE file_id IS NOT NULL";
        self.readers.ask(move |connection| many(connection, sql, &[], file)).await
    }

    async fn devices_without_package(
        &self,
        profile: DeviceProfileId,
        kind: PackageKind,
    ) -> Result<u64, PortError> {
        self.counted(without_package(kind), profile.0).await
    }

    async fn announcements(
        &self,
        of_fleets: bool,
        limit: u32,
    ) -> Result<Vec<Announcement>, PortError> {
        let sql = if of_fleets {
            "SELECT * FROM announcement WHERE stage = 2 ORDER BY turn, device_id LIMIT $1"
        } else {
            "SELECT * FROM announcement WHERE stage < 2 ORDER BY turn, device_id LIMIT $1"
        };
        self.readers.ask(move |connection| many(connection, sql, &[&limit], announcement)).await
    }
}

pub(super) fn put_package(connection: &Connection, package: &Package) -> Result<(), PortError> {
    let data = package.content.data();
    let size = data.map(|data| data.size);
    let size = size.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
    let columns: &[(&str, &dyn ToSql)] = &[
        ("created_at", &package.created_at.ms()),
        ("tenant_id", package.tenant_id.0.as_bytes()),
        ("profile_id", package.profile_id.0.as_bytes()),
        ("kind", &(package.kind as u8)),
        ("title", &package.title),
        ("package_version", &package.version),
        ("tag", &package.tag),
        ("file_id", &data.map(|data| data.file.0.into_bytes())),
        ("data_size", &size),
        ("is_ready", &i16::from(package.content.is_ready())),
        ("search", &searchable([Some(package.title.as_str())])),
        ("document", &PackageDocument::from(package).write()?),
    ];
    put(connection, "package", package.id.0, package.revision, columns)
}

pub(super) fn delete_package(connection: &Connection, id: PackageId) -> Result<(), PortError> {
    match remove(connection, "DELETE FROM package WHERE id = $1", &[id.0.as_bytes()])? {
        0 => Err(PortError::Conflict(Conflict::Missing)),
        _ => Ok(()),
    }
}

pub(super) fn bytes_at_most(
    connection: &Connection,
    tenant: TenantId,
    max: u64,
) -> Result<(), PortError> {
    if count(connection, BYTES, &[tenant.0.as_bytes()])? > max {
        return Err(PortError::Conflict(Conflict::PackageBytes));
    }
    Ok(())
}

pub(super) fn announce(connection: &Connection, one: &Announcement) -> Result<(), PortError> {
    let sql = "INSERT INTO announcement (device_id, kind, stage, turn) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (device_id, kind) DO UPDATE SET \
               stage = excluded.stage, turn = excluded.turn";
    let (device, kind, stage) = (one.device_id.0.as_bytes(), one.kind as u8, one.stage as u8);
    run(connection, sql, &[device, &kind, &stage, one.turn.as_bytes()]).map(drop)
}

pub(super) fn announce_to_fleet(
    connection: &Connection,
    profile: DeviceProfileId,
    kind: PackageKind,
    turn: Uuid,
) -> Result<(), PortError> {
    let sql = match kind {
        PackageKind::Firmware => FLEET_FIRMWARE,
        PackageKind::Software => FLEET_SOFTWARE,
    };
    let stage = AnnouncementStage::Fleet as u8;
    let values: &[&dyn ToSql] = &[&(kind as u8), &stage, turn.as_bytes(), profile.0.as_bytes()];
    run(connection, sql, values).map(drop)
}

pub(super) fn queued(connection: &Connection, one: &Announcement) -> Result<(), PortError> {
    let sql = "UPDATE announcement SET stage = 2 WHERE device_id = $1 AND kind = $2 AND turn = $3";
    let values: &[&dyn ToSql] =
        &[one.device_id.0.as_bytes(), &(one.kind as u8), one.turn.as_bytes()];
    run(connection, sql, values).map(drop)
}

pub(super) fn announced(connection: &Connection, one: &Announcement) -> Result<(), PortError> {
    let sql = "DELETE FROM announcement WHERE device_id = $1 AND kind = $2 AND turn = $3";
    let values: &[&dyn ToSql] =
        &[one.device_id.0.as_bytes(), &(one.kind as u8), one.turn.as_bytes()];
    run(connection, sql, values).map(drop)
}

/// Values of the columns `firmware_id` and `software_id`.
pub(super) fn columns(packages: &AssignedPackages) -> [Option<[u8; 16]>; 2] {
    [packages.firmware, packages.software].map(|package| package.map(|id| id.0.into_bytes()))
}

fn package(row: &Row<'_>) -> Result<Package, PortError> {
    let document = document::<PackageDocument>(row)?;
    let kind = PackageKind::from_number(get(row, "kind")?);
    let size: Option<i64> = get(row, "data_size")?;
    let stored = maybe_id(row, "file_id")?.map(PackageFileId).zip(size.map(i64::unsigned_abs));
    Ok(Package {
        id: PackageId(id(row, "id")?),
        created_at: moment(row)?,
        tenant_id: TenantId(id(row, "tenant_id")?),
        profile_id: DeviceProfileId(id(row, "profile_id")?),
        kind: kind.ok_or_else(|| corrupt("an unknown kind of package"))?,
        title: get(row, "title")?,
        version: get(row, "package_version")?,
        tag: get(row, "tag")?,
        additional_info: document.additional_info.clone(),
        content: document.content(stored)?,
        revision: get(row, "version")?,
    })
}

fn announcement(row: &Row<'_>) -> Result<Announcement, PortError> {
    let kind = PackageKind::from_number(get(row, "kind")?);
    let stage = AnnouncementStage::from_number(get(row, "stage")?);
    Ok(Announcement {
        device_id: DeviceId(id(row, "device_id")?),
        kind: kind.ok_or_else(|| corrupt("an unknown kind of package"))?,
        stage: stage.ok_or_else(|| corrupt("an unknown stage of an announcement"))?,
        turn: id(row, "turn")?,
    })
}

fn file(row: &Row<'_>) -> Result<PackageFileId, PortError> {
    id(row, "file_id").map(PackageFileId)
}

const fn without_package(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Firmware => {
            "SELECT COUNT(*) FROM device WHERE profile_id = $1 AND firmware_id IS NULL"
        }
        PackageKind::Software => {
            "SELECT COUNT(*) FROM device WHERE profile_id = $1 AND software_id IS NULL"
        }
    }
}

const BYTES: &str = "SELECT COALESCE(SUM(data_size), 0) FROM package WHERE tenant_id = $1";
const FLEET_FIRMWARE: &str = "INSERT INTO announcement (device_id, kind, stage, turn) \
    SELECT id, $1, $2, $3 FROM device WHERE profile_id = $4 AND firmware_id IS NULL \
    ON CONFLICT (device_id, kind) DO UPDATE SET stage = excluded.stage, turn = excluded.turn";
const FLEET_SOFTWARE: &str = "INSERT INTO announcement (device_id, kind, stage, turn) \
    SELECT id, $1, $2, $3 FROM device WHERE profile_id = $4 AND software_id IS NULL \
    ON CONFLICT (device_id, kind) DO UPDATE SET stage = excluded.stage, turn = excluded.turn";
