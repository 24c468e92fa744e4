//! The certificate board: what expires when, soonest first.
//!
//! Certificates of devices come from the store, in its order and page by page. The others, of device
//! profiles and of the server, are few; they are put between at their places.

use thingport_model::attempt::PresentedCertificate;
use thingport_model::credentials::DeviceCertificate;
use thingport_model::id::{DeviceId, DeviceProfileId};
use thingport_model::page::{Page, PageLink};
use thingport_model::profile::{DeviceProfile, Provisioning};
use thingport_model::time::Timestamp;
use thingport_model::user::Authority;
use thingport_x509::certificate::Certificate;
use thingport_x509::chain::is_self_signed;
use thingport_x509::error::NotACertificate;
use thingport_x509::input::{read_chain, read_one};

use super::Registry;
use crate::access::Caller;
use crate::attempt::facts;
use crate::error::Error;

/// A row of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardRow {
    /// Whose it is.
    pub holder: Holder,
    /// What it says.
    pub certificate: PresentedCertificate,
}

/// Whose a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A device logs in with it.
    Device(DeviceId, String),
    /// Devices of a profile log in with certificates below it.
    Profile(DeviceProfileId, String),
    /// This server shows it to devices and people.
    Server,
    /// It signed this server's, and is what devices are given to trust.
    ServerCa,
}

/// A certificate of this server, as the roof knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// Whether it is the CA's.
    pub is_ca: bool,
    /// DER.
    pub der: Vec<u8>,
}

/// How much longer a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// For more than [`EXPIRING_DAYS`].
    Valid,
    /// Not longer than [`EXPIRING_DAYS`].
    Expiring,
    /// No longer.
    Expired,
    /// Not yet.
    NotYetValid,
}

impl BoardRow {
    /// Until when it is valid; a certificate that could not be read never was.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.certificate.not_after.unwrap_or(Timestamp::MIN)
    }

    /// Whole days from `now` until it expires; negative when it did.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.expires_at().since_ms(now).div_euclid(DAY_MS)
    }

    /// How much longer it is good for.
    #[must_use]
    pub fn validity(&self, now: Timestamp) -> Validity {
        if self.expires_at() < now {
            Validity::Expired
        } else if self.certificate.not_before.is_some_and(|start| start > now) {
            Validity::NotYetValid
        } else if self.days_left(now) < EXPIRING_DAYS {
            Validity::Expiring
        } else {
            Validity::Valid
        }
    }
}

/// What somebody pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What the first certificate says; it counts as the device's own.
    pub certificate: PresentedCertificate,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// Whether it signed itself.
    pub is_self_signed: bool,
    /// How many there are, that one included.
    pub count: usize,
}

/// Reads what somebody pasted, as registering it would.
///
/// # Errors
/// [`Error::Invalid`] with what was pasted instead of a certificate.
pub fn inspect(text: &str) -> Result<Sight, Error> {
    let unread = |error: NotACertificate| Error::Invalid(error.to_string());
    let first = read_one(text.as_bytes()).map_err(unread)?;
    // A single one without its frame is no chain.
    let count = read_chain(text.as_bytes()).map_or(1, |chain| chain.len());
    Ok(Sight {
        certificate: facts(first.der()),
        is_ca: first.facts().is_ca(),
        is_self_signed: is_self_signed(&first),
        count,
    })
}

impl Registry {
    /// A page of the certificates that the caller may see and that expire before a moment, soonest
    /// first: for system administrators the server's; for tenant administrators also their devices'
    /// and profiles'; for customer users their devices' and the server's. Nothing secret is in a
    /// certificate, and every client sees the server's. Order and text search of the link are not
    /// looked at.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a page that cannot be, or the store's trouble.
    pub async fn certificates(
        &self,
        caller: &Caller,
        server: &[ServerCertificate],
        before: Timestamp,
        link: PageLink,
    ) -> Result<Page<BoardRow>, Error> {
        if link.size == 0 || link.size > PAGE_SIZE_MAX {
            return Err(Error::Invalid(format!("pageSize must be between 1 and {PAGE_SIZE_MAX}")));
        }
        let mut few: Vec<_> = server.iter().map(server_row).collect();
        if caller.authority == Authority::TenantAdmin {
            few.extend(self.profile_certificates(caller).await?);
        }
        few.retain(|row| row.expires_at() < before);
        few.sort_by_key(BoardRow::expires_at);
        let window = Window::of(&link, few.len());
        let devices = match caller.authority {
            Authority::SysAdmin => Devices::default(),
            Authority::TenantAdmin | Authority::CustomerUser => {
                self.device_certificates(caller, before, &window).await?
            }
        };
        let page = window.cut(few, devices);
        let rows = page.rows.into_iter().map(Entry::read).collect();
        Ok(Page { rows, total: page.total })
    }

    /// The device rows from the window's first on, at least as many as it may need.
    async fn device_certificates(
        &self,
        caller: &Caller,
        before: Timestamp,
        window: &Window,
    ) -> Result<Devices, Error> {
        let (tenant, customer) = (caller.tenant_id, caller.customer_id);
        let size = window.fetch;
        let first_page = window.first / u64::from(size);
        let mut found = Devices::default();
        for number in [first_page, first_page + 1] {
            let page = u32::try_from(number).unwrap_or(u32::MAX);
            let link = PageLink { page, size, text_search: None, sort: None };
            let page = self.entities.certificates_by_expiry(tenant, customer, before, link).await?;
            found.total = page.total;
            found.rows.extend(page.rows);
        }
        let surplus = usize::try_from(window.first % u64::from(size)).unwrap_or_default();
        found.rows.drain(..surplus.min(found.rows.len()));
        Ok(found)
    }

    async fn profile_certificates(&self, caller: &Caller) -> Result<Vec<BoardRow>, Error> {
        let every = PageLink { page: 0, size: PROFILES_MAX, text_search: None, sort: None };
        let profiles = self.entities.profiles(caller.tenant_id, every).await?.rows;
        Ok(profiles.iter().flat_map(profile_rows).collect())
    }
}

/// Device certificates of a window, and how many there are in all.
#[derive(Default)]
struct Devices {
    rows: Vec<DeviceCertificate>,
    total: u64,
}

/// A row before its certificate is read, which is done for those on the page alone.
#[derive(Debug, PartialEq)]
enum Entry {
    Few(Box<BoardRow>),
    Device(Box<DeviceCertificate>),
}

impl Entry {
    fn expires_at(&self) -> Timestamp {
        match self {
            Self::Few(row) => row.expires_at(),
            Self::Device(it) => device_expiry(it),
        }
    }

    fn read(self) -> BoardRow {
        match self {
            Self::Few(row) => *row,
            Self::Device(it) => device_row(*it),
        }
    }
}

/// Where the rows of a page lie among all rows, when `few` of them are put between those of the
/// devices: the page's first row has at most `few` rows before it that are not devices', so the device
/// rows from `first` on are enough.
struct Window {
    /// Number of the page's first row.
    offset: u64,
    /// Rows of the page.
    size: usize,
    /// Number of the first device row to look at.
    first: u64,
    /// Device rows to ask the store for at once, so that two questions suffice.
    fetch: u32,
}

impl Window {
    fn of(link: &PageLink, few: usize) -> Self {
        let offset = u64::from(link.page) * u64::from(link.size);
        let size = link.size as usize;
        Self {
            offset,
            size,
            first: offset.saturating_sub(few as u64),
            fetch: u32::try_from(size + few).unwrap_or(u32::MAX),
        }
    }

    /// The page. `few` are all of them, `devices` those from [`Self::first`] on; both sorted.
    fn cut(&self, few: Vec<BoardRow>, devices: Devices) -> Page<Entry> {
        let total = devices.total + few.len() as u64;
        // Among equals the few stand first.
        let before_first = match (self.first, devices.rows.first()) {
            (0, _) => 0,
            (_, Some(row)) => few.partition_point(|it| it.expires_at() <= device_expiry(row)),
            (_, None) => few.len(),
        };
        // Not negative: either is 0, or `first` is the offset less all of the few.
        let skipped = (self.offset - self.first).saturating_sub(before_first as u64);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let few = few.into_iter().skip(before_first).map(|row| Entry::Few(Box::new(row)));
        let devices = devices.rows.into_iter().map(|it| Entry::Device(Box::new(it)));
        let rows = merge(few, devices).skip(skipped).take(self.size).collect();
        Page { rows, total }
    }
}

/// Two sorted sequences as one; among equals the left one's stand first.
fn merge(
    left: impl Iterator<Item = Entry>,
    right: impl Iterator<Item = Entry>,
) -> impl Iterator<Item = Entry> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    core::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(one), Some(other)) if one.expires_at() > other.expires_at() => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}

fn server_row(it: &ServerCertificate) -> BoardRow {
    let holder = if it.is_ca { Holder::ServerCa } else { Holder::Server };
    BoardRow { holder, certificate: facts(&it.der) }
}

fn profile_rows(profile: &DeviceProfile) -> Vec<BoardRow> {
    let Provisioning::X509Chain(chain) = &profile.provisioning else { return Vec::new() };
    let chain = read_chain(chain.chain.as_bytes()).unwrap_or_default();
    let row = |certificate: &Certificate| BoardRow {
        holder: Holder::Profile(profile.id, profile.name.clone()),
        certificate: facts(certificate.der()),
    };
    chain.iter().map(row).collect()
}

fn device_expiry(it: &DeviceCertificate) -> Timestamp {
    it.credentials.expires_at.unwrap_or(Timestamp::MIN)
}

/// The store's moment is what orders rows, so it is what a row shows even where the certificate cannot
/// be read again.
fn device_row(it: DeviceCertificate) -> BoardRow {
    let value = it.credentials.value.unwrap_or_default();
    let read = read_one(value.as_bytes()).map(|certificate| facts(certificate.der()));
    let certificate =
        PresentedCertificate { not_after: it.credentials.expires_at, ..read.unwrap_or_default() };
    BoardRow { holder: Holder::Device(it.credentials.device_id, it.device_name), certificate }
}

/// Days before its end from which on a certificate is said to expire.
pub const EXPIRING_DAYS: i64 = 30;
/// Profiles of a tenant whose certificates are looked at, the first by id.
pub const PROFILES_MAX: u32 = 1_000;
/// Rows on a page of the board.
const PAGE_SIZE_MAX: u32 = 1_000;
const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::credentials::{CredentialsType, DeviceCredentials};
    use thingport_model::id::CredentialsId;
    use uuid::Uuid;

    fn row(holder: Holder, expires: i64) -> BoardRow {
        let not_after = Some(Timestamp(expires));
        BoardRow { holder, certificate: PresentedCertificate { not_after, ..Default::default() } }
    }

    fn device(expires: i64) -> DeviceCertificate {
        let credentials = DeviceCredentials {
            id: CredentialsId(Uuid::nil()),
            created_at: Timestamp(0),
            device_id: DeviceId(Uuid::nil()),
            kind: CredentialsType::X509Certificate,
            credentials_id: String::new(),
            value: None,
            expires_at: Some(Timestamp(expires)),
            version: 1,
        };
        DeviceCertificate {
            device_name: String::new(),
            profile_name: String::new(),
            customer_id: None,
            credentials,
        }
    }

    /// What the store answers to a window: two pages of its size, less what lies before the first.
    fn devices(all: &[i64], window: &Window) -> Devices {
        let fetch = window.fetch as usize;
        let first = usize::try_from(window.first).unwrap();
        let start = first / fetch * fetch;
        let end = (start + 2 * fetch).min(all.len());
        let rows = all.get(start..end).unwrap_or_default().iter().map(|at| device(*at));
        Devices { rows: rows.skip(first - start).collect(), total: all.len() as u64 }
    }

    #[test]
    fn pages_together_are_all_rows_in_order() {
        let stores: [&[i64]; 5] =
            [&[], &[5], &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[3; 12], &[1, 1, 1, 9, 9, 9]];
        let fews: [&[i64]; 6] = [&[], &[0], &[3], &[10, 10], &[1, 5, 9], &[0, 0, 0, 0, 3, 3, 20]];
        for (store, few) in stores.iter().flat_map(|it| fews.map(|few| (*it, few))) {
            let few_rows: Vec<_> = few.iter().map(|at| row(Holder::Server, *at)).collect();
            // A stable sort: among equals the few stand first.
            let mut wanted: Vec<_> =
                few_rows.iter().cloned().map(|row| Entry::Few(Box::new(row))).collect();
            wanted.extend(store.iter().map(|at| Entry::Device(Box::new(device(*at)))));
            wanted.sort_by_key(Entry::expires_at);
            for size in [1, 2, 3, 5, 100] {
                let mut told = Vec::new();
                for page in 0..30 {
                    let link = PageLink { page, size, text_search: None, sort: None };
                    let window = Window::of(&link, few_rows.len());
                    let page = window.cut(few_rows.clone(), devices(store, &window));
                    assert_eq!(page.total, wanted.len() as u64);
                    told.extend(page.rows);
                }
                assert_eq!(told, wanted, "{store:?} with {few:?} by {size}");
            }
        }
    }

    #[test]
    fn days_and_state_follow_the_moment() {
        let now = Timestamp(1_000 * DAY_MS);
        // Begins and ends in so many days; days left; state.
        let rows = [
            (-10, 31 * DAY_MS, 31, Validity::Valid),
            (-10, 30 * DAY_MS, 30, Validity::Valid),
            (-10, 30 * DAY_MS - 1, 29, Validity::Expiring),
            (-10, 0, 0, Validity::Expiring),
            (-10, -1, -1, Validity::Expired),
            (-10, -DAY_MS, -1, Validity::Expired),
            (1, 300 * DAY_MS, 300, Validity::NotYetValid),
        ];
        for (start, end, days, state) in rows {
            let mut row = row(Holder::Server, now.plus_ms(end).ms());
            row.certificate.not_before = Some(now.plus_ms(start));
            assert_eq!((row.days_left(now), row.validity(now)), (days, state), "{end}");
        }
        let unread =
            BoardRow { holder: Holder::Server, certificate: PresentedCertificate::default() };
        assert_eq!(unread.validity(now), Validity::Expired);
    }
}
