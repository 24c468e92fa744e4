//! Promises about packages, who was given them, and devices that are still to be told.

use thingport_model::device::Device;
use thingport_model::id::{DeviceProfileId, PackageFileId, PackageId};
use thingport_model::ota::{
    Announcement, AnnouncementStage, AssignedPackages, ChecksumAlgorithm, Package, PackageContent,
    PackageData, PackageKind, PackageUrl,
};
use thingport_model::page::PageLink;
use thingport_model::port::entities::Write;
use thingport_model::port::error::Conflict;
use thingport_model::port::packages::PackageFilter;
use thingport_model::profile::DeviceProfile;
use thingport_model::time::Timestamp;

use super::{House, Subject, conflict, device_of, link, new_id, profile_of, sorted, tick};

pub(super) async fn packages_are_read_back_and_unique(subject: Subject) {
    let house = House::build(&*subject).await;
    let rows = [
        package(&house.profile, "one", PackageContent::Missing),
        package(&house.profile, "two", data(5)),
        package(&house.profile, "three", url(true)),
        Package { tag: None, ..package(&house.profile, "four", url(false)) },
    ];
    for row in &rows {
        subject.write(vec![Write::Package(row.clone())]).await.unwrap();
        assert_eq!(subject.package(row.id).await, Ok(Some(row.clone())));
    }
    assert_eq!(subject.package(PackageId(new_id())).await, Ok(None));
    assert_eq!(subject.package_files().await, Ok(vec![rows[1].content.data().unwrap().file]));
    let same = package(&house.profile, "one", PackageContent::Missing);
    let put = |row: &Package| vec![Write::Package(row.clone())];
    assert_eq!(subject.write(put(&same)).await, conflict(Conflict::PackageName));
    let other_kind = Package { kind: PackageKind::Software, ..same.clone() };
    assert_eq!(subject.write(put(&other_kind)).await, Ok(()), "unique per kind (O-1)");
    let filled = Package { content: data(7), revision: 2, ..rows[0].clone() };
    assert_eq!(subject.write(put(&filled)).await, Ok(()));
    assert_eq!(subject.write(put(&filled)).await, conflict(Conflict::Version));
    assert_eq!(subject.package_bytes(house.tenant.id).await, Ok(12));
    let nowhere = DeviceProfileId(new_id());
    let stray = Package { profile_id: nowhere, ..package(&house.profile, "s", url(false)) };
    assert_eq!(subject.write(put(&stray)).await, conflict(Conflict::Reference));
}

pub(super) async fn packages_are_listed(subject: Subject) {
    let house = House::build(&*subject).await;
    let mut other = profile_of(&house.tenant, "other");
    other.is_default = false;
    subject.write(vec![Write::DeviceProfile(other.clone())]).await.unwrap();
    for row in [
        package(&house.profile, "Alpha", data(1)),
        package(&house.profile, "Beta", PackageContent::Missing),
        package(&other, "Gamma", url(false)),
        Package { kind: PackageKind::Software, ..package(&house.profile, "Delta", url(false)) },
    ] {
        subject.write(vec![Write::Package(row)]).await.unwrap();
    }
    let all = PackageFilter { tenant_id: house.tenant.id, ready_for: None };
    let ready = |profile: &DeviceProfile, kind| PackageFilter {
        ready_for: Some((profile.id, kind)),
        ..all
    };
    let searched = PageLink { text_search: Some("ET".to_owned()), ..link(0, 10) };
    let rows: [(PackageFilter, PageLink, &[&str]); 7] = [
        (all, link(0, 10), &["Alpha", "Beta", "Gamma", "Delta"]),
        (all, sorted("title"), &["Gamma", "Delta", "Beta", "Alpha"]),
        (all, link(1, 3), &["Delta"]),
        (all, searched, &["Beta"]),
        (ready(&house.profile, PackageKind::Firmware), link(0, 10), &["Alpha"]),
        (ready(&house.profile, PackageKind::Software), link(0, 10), &["Delta"]),
        (ready(&other, PackageKind::Software), link(0, 10), &[]),
    ];
    for (filter, link, expected) in rows {
        let page = subject.packages(filter, link.clone()).await.unwrap();
        let titles: Vec<&str> = page.rows.iter().map(|row| row.title.as_str()).collect();
        assert_eq!(titles, expected, "{filter:?} {link:?}");
    }
}

pub(super) async fn the_bytes_of_a_tenant_are_bounded_exactly(subject: Subject) {
    let house = House::build(&*subject).await;
    let fill = |title, size, max| {
        let row = package(&house.profile, title, data(size));
        vec![Write::Package(row), Write::PackageBytesAtMost(house.tenant.id, max)]
    };
    assert_eq!(subject.write(fill("one", 60, 100)).await, Ok(()));
    assert_eq!(subject.write(fill("two", 41, 100)).await, conflict(Conflict::PackageBytes));
    assert_eq!(subject.write(fill("two", 40, 100)).await, Ok(()));
    assert_eq!(subject.package_bytes(house.tenant.id).await, Ok(100));
}

pub(super) async fn packages_in_use_stay(subject: Subject) {
    let house = House::build(&*subject).await;
    let row = package(&house.profile, "one", data(1));
    let assigned = AssignedPackages { firmware: Some(row.id), software: None };
    let device = |version, packages| {
        vec![Write::Device(Device { version, packages, ..house.device.clone() })]
    };
    assert_eq!(subject.write(device(2, assigned)).await, conflict(Conflict::Reference));
    subject.write(vec![Write::Package(row.clone())]).await.unwrap();
    subject.write(device(2, assigned)).await.unwrap();
    assert_eq!(subject.device(house.device.id).await.unwrap().unwrap().packages, assigned);
    let delete = vec![Write::DeletePackage(row.id)];
    assert_eq!(subject.write(delete.clone()).await, conflict(Conflict::InUse));
    subject.write(device(3, AssignedPackages::default())).await.unwrap();
    let profile = |version, packages| {
        let kept = DeviceProfile { version, packages, ..house.profile.clone() };
        vec![Write::DeviceProfile(kept)]
    };
    subject.write(profile(2, assigned)).await.unwrap();
    assert_eq!(subject.profile(house.profile.id).await.unwrap().unwrap().packages, assigned);
    assert_eq!(subject.write(delete.clone()).await, conflict(Conflict::InUse));
    subject.write(profile(3, AssignedPackages::default())).await.unwrap();
    assert_eq!(subject.write(delete.clone()).await, Ok(()));
    assert_eq!(subject.write(delete).await, conflict(Conflict::Missing));
}

pub(super) async fn packages_go_with_their_profile_and_tenant(subject: Subject) {
    let house = House::build(&*subject).await;
    let mut other = profile_of(&house.tenant, "other");
    other.is_default = false;
    let row = package(&other, "one", data(1));
    let software = Package { kind: PackageKind::Software, ..package(&other, "two", url(true)) };
    other.packages = AssignedPackages::default();
    subject.write(vec![Write::DeviceProfile(other.clone())]).await.unwrap();
    subject.write(vec![Write::Package(row.clone()), Write::Package(software)]).await.unwrap();
    other.packages.firmware = Some(row.id);
    other.version = 2;
    subject.write(vec![Write::DeviceProfile(other.clone())]).await.unwrap();
    subject.write(vec![Write::Delete(other.id.entity())]).await.unwrap();
    assert_eq!(subject.package(row.id).await, Ok(None));
    assert_eq!(subject.package_files().await, Ok(vec![]));

    let row = package(&house.profile, "three", data(1));
    let packages = AssignedPackages { firmware: Some(row.id), software: None };
    let device = Device { packages, version: 2, ..house.device.clone() };
    let profile = DeviceProfile { packages, version: 2, ..house.profile.clone() };
    let one = announcement(&house.device, AnnouncementStage::Direct);
    let writes = vec![
        Write::Package(row),
        Write::Device(device),
        Write::DeviceProfile(profile),
        Write::Announce(one),
    ];
    subject.write(writes).await.unwrap();
    subject.write(vec![Write::Delete(house.tenant.id.entity())]).await.unwrap();
    assert_eq!(subject.package_files().await, Ok(vec![]));
    assert_eq!(subject.announcements(false, 10).await, Ok(vec![]));
}

pub(super) async fn announcements_wait_until_they_are_made(subject: Subject) {
    let house = House::build(&*subject).await;
    let own = package(&house.profile, "own", url(false));
    let mut second = device_of(&house.profile, "Pump 2");
    second.packages.firmware = Some(own.id);
    let third = device_of(&house.profile, "Pump 3");
    let writes =
        vec![Write::Package(own), Write::Device(second.clone()), Write::Device(third.clone())];
    subject.write(writes).await.unwrap();
    let count = async |kind| subject.devices_without_package(house.profile.id, kind).await;
    assert_eq!(count(PackageKind::Firmware).await, Ok(2));
    assert_eq!(count(PackageKind::Software).await, Ok(3));

    let waiting = async |of_fleets| subject.announcements(of_fleets, 10).await.unwrap();
    let turn = new_id();
    let fleet = vec![Write::AnnounceToFleet(house.profile.id, PackageKind::Firmware, turn)];
    subject.write(fleet).await.unwrap();
    let told = waiting(false).await;
    let devices: Vec<_> = told.iter().map(|one| one.device_id).collect();
    assert_eq!(devices, [house.device.id, third.id], "those without one of their own");
    assert!(told.iter().all(|one| (one.turn, one.stage) == (turn, AnnouncementStage::Fleet)));
    let queued = told.iter().map(|one| Write::AnnouncementQueued(*one)).collect();
    subject.write(queued).await.unwrap();
    assert_eq!(waiting(false).await, []);
    assert_eq!(waiting(true).await.len(), 2);

    // A later assignment takes the place of an earlier one, and what is done with that is not its end.
    let later = announcement(&house.device, AnnouncementStage::Direct);
    subject.write(vec![Write::Announce(later)]).await.unwrap();
    let earlier = Announcement { turn, ..later };
    let done = vec![Write::Announced(earlier), Write::AnnouncementQueued(earlier)];
    subject.write(done).await.unwrap();
    assert_eq!(waiting(false).await, [later]);
    assert_eq!(subject.announcements(true, 10).await.unwrap().len(), 1);
    subject.write(vec![Write::Announced(later)]).await.unwrap();
    assert_eq!(waiting(false).await, []);
    subject.write(vec![Write::Delete(third.id.entity())]).await.unwrap();
    assert_eq!(waiting(true).await, []);
    let gone = announcement(&third, AnnouncementStage::Direct);
    assert_eq!(subject.write(vec![Write::Announce(gone)]).await, conflict(Conflict::Reference));
}

fn announcement(device: &Device, stage: AnnouncementStage) -> Announcement {
    let (device_id, kind) = (device.id, PackageKind::Firmware);
    Announcement { device_id, kind, stage, turn: new_id() }
}

fn package(profile: &DeviceProfile, title: &str, content: PackageContent) -> Package {
    Package {
        id: PackageId(new_id()),
        created_at: Timestamp(tick()),
        tenant_id: profile.tenant_id,
        profile_id: profile.id,
        kind: PackageKind::Firmware,
        title: title.to_owned(),
        version: "1.0".to_owned(),
        tag: Some(format!("{title} 1.0")),
        additional_info: Some("{}".to_owned()),
        content,
        revision: 1,
    }
}

fn data(size: u64) -> PackageContent {
    PackageContent::Data(PackageData {
        file: PackageFileId(new_id()),
        size,
        algorithm: ChecksumAlgorithm::Sha256,
        checksum: "abc".to_owned(),
        file_name: "image.bin".to_owned(),
        content_type: "application/octet-stream".to_owned(),
    })
}

fn url(described: bool) -> PackageContent {
    PackageContent::Url(PackageUrl {
        url: "https://example.org/image.bin".to_owned(),
        size: described.then_some(7),
        algorithm: described.then_some(ChecksumAlgorithm::Md5),
        checksum: described.then(|| "abc".to_owned()),
    })
}
