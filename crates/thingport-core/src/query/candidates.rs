//! Entities that a question may be about, before it looks at their values.

use std::collections::BTreeSet;

use thingport_model::id::{
    CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef, TenantId, UserId,
};
use thingport_model::page::{Page, PageLink};
use thingport_model::relation::Relation;

use super::subject::Subject;
use super::{CANDIDATES_MAX, EntityFilter, Queries, QueryPage, ValueSource};
use crate::access::Caller;
use crate::error::Error;
use crate::registry::devices::DeviceChoice;

impl Queries {
    /// The page that a store can answer by itself; none when it cannot.
    pub(super) async fn asked_for(
        &self,
        caller: &Caller,
        filter: &EntityFilter,
        link: &PageLink,
        page: &QueryPage,
    ) -> Result<Option<Page<Subject>>, Error> {
        let (kind, profile) = match filter {
            EntityFilter::Named(kind, name) if name.is_empty() => (*kind, None),
            EntityFilter::Devices { profiles, name } if name.is_empty() && profiles.len() <= 1 => {
                (EntityKind::Device, profiles.first())
            }
            _ => return Ok(None),
        };
        let by_field = page.sort.as_ref().is_none_or(|(key, _)| {
            key.source == ValueSource::Field && sorts(kind).contains(&key.key.as_str())
        });
        if !by_field {
            return Ok(None);
        }
        self.of_kind(caller, kind, profile.map(String::as_str), link.clone()).await.map(Some)
    }

    /// Every entity that the filter names, in any order.
    pub(super) async fn candidates(
        &self,
        caller: &Caller,
        filter: &EntityFilter,
    ) -> Result<Vec<Subject>, Error> {
        match filter {
            EntityFilter::Nothing => Ok(Vec::new()),
            EntityFilter::Entities(entities) => self.known(caller, entities).await,
            EntityFilter::Named(kind, name) => self.named(caller, *kind, None, name).await,
            EntityFilter::Devices { profiles, name } => {
                if profiles.is_empty() {
                    return self.named(caller, EntityKind::Device, None, name).await;
                }
                let mut all = Vec::new();
                for profile in BTreeSet::from_iter(profiles) {
                    let kind = EntityKind::Device;
                    all.extend(self.named(caller, kind, Some(profile), name).await?);
                    few(all.len())?;
                }
                Ok(all)
            }
            EntityFilter::Related { walk, profiles } => {
                let found = match self.registry.relations_walked(caller, walk).await {
                    // Where nothing can be seen, nothing is found.
                    Err(Error::NotFound(_) | Error::Denied(_)) => Vec::new(),
                    other => other?,
                };
                let far = |it: &Relation| it.key.end(walk.end.other());
                let far: BTreeSet<_> = found.iter().map(far).collect();
                let mut rows = self.known(caller, &Vec::from_iter(far)).await?;
                rows.retain(|row| is_of_profile(row, profiles));
                Ok(rows)
            }
        }
    }

    /// These entities as far as the caller may see them.
    async fn known(&self, caller: &Caller, entities: &[EntityRef]) -> Result<Vec<Subject>, Error> {
        few(entities.len())?;
        let mut found = Vec::with_capacity(entities.len());
        for entity in entities {
            match self.one(caller, *entity).await {
                Ok(subject) => found.push(subject),
                Err(Error::NotFound(_) | Error::Denied(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn one(&self, caller: &Caller, entity: EntityRef) -> Result<Subject, Error> {
        let (registry, id) = (&self.registry, entity.id);
        Ok(match entity.kind {
            EntityKind::Device => {
                let found = registry.device_overview(caller, DeviceId(id)).await?;
                Subject::Device(Box::new(found))
            }
            EntityKind::Customer => {
                Subject::Customer(Box::new(registry.customer(caller, CustomerId(id)).await?))
            }
            EntityKind::User => Subject::User(Box::new(registry.user(caller, UserId(id)).await?)),
            EntityKind::DeviceProfile => {
                Subject::Profile(Box::new(registry.profile(caller, DeviceProfileId(id)).await?))
            }
            EntityKind::Tenant => {
                let tenant = registry.tenant(caller, TenantId(id)).await?;
                Subject::Tenant(Box::new(tenant))
            }
            EntityKind::TenantProfile => return Err(crate::access::missing("entity")),
        })
    }

    /// All of a kind whose name begins so. The store looks for those that contain it.
    async fn named(
        &self,
        caller: &Caller,
        kind: EntityKind,
        profile: Option<&str>,
        name: &str,
    ) -> Result<Vec<Subject>, Error> {
        let mut rows = Vec::new();
        for page in 0.. {
            let searched = Some(name.to_owned()).filter(|name| !name.is_empty());
            let link = PageLink { page, size: READ_ROWS, text_search: searched, sort: None };
            let read = self.of_kind(caller, kind, profile, link).await?.rows;
            let is_last = read.len() < READ_ROWS as usize;
            rows.extend(read.into_iter().filter(|row| row.begins_with(name)));
            few(rows.len())?;
            if is_last {
                break;
            }
        }
        Ok(rows)
    }

    async fn of_kind(
        &self,
        caller: &Caller,
        kind: EntityKind,
        profile: Option<&str>,
        link: PageLink,
    ) -> Result<Page<Subject>, Error> {
        let registry = &self.registry;
        let is_customer = caller.customer_id.is_some();
        match kind {
            EntityKind::Device => {
                let choice = DeviceChoice {
                    profile_name: profile.map(str::to_owned),
                    ..DeviceChoice::default()
                };
                let found = registry.devices(caller, choice, link).await?;
                Ok(made(found, |it| Subject::Device(Box::new(it))))
            }
            EntityKind::Customer if !is_customer => {
                let found = registry.customers(caller, link).await?;
                Ok(made(found, |it| Subject::Customer(Box::new(it))))
            }
            EntityKind::User => {
                let found = registry.users(caller, link).await?;
                Ok(made(found, |it| Subject::User(Box::new(it))))
            }
            EntityKind::DeviceProfile => {
                let found = registry.profile_infos(caller, None, link).await?;
                Ok(made(found, |it| Subject::Profile(Box::new(it))))
            }
            EntityKind::Customer | EntityKind::Tenant | EntityKind::TenantProfile => {
                let own = match (kind, caller.customer_id) {
                    (EntityKind::Customer, Some(id)) => vec![id.entity()],
                    (EntityKind::Tenant, _) => vec![caller.tenant_id.entity()],
                    _ => Vec::new(),
                };
                let mut rows = self.known(caller, &own).await?;
                rows.retain(|row| row.contains(link.text_search.as_deref()));
                let total = rows.len() as u64;
                let rows = if link.page == 0 { rows } else { Vec::new() };
                Ok(Page { rows, total })
            }
        }
    }
}

fn made<T>(page: Page<T>, make: impl FnMut(T) -> Subject) -> Page<Subject> {
    Page { rows: page.rows.into_iter().map(make).collect(), total: page.total }
}

fn is_of_profile(row: &Subject, profiles: &[String]) -> bool {
    match row {
        _ if profiles.is_empty() => true,
        Subject::Device(it) => profiles.contains(&it.device.profile_name),
        _ => false,
    }
}

/// Fields by which the registry sorts entities of this kind.
const fn sorts(kind: EntityKind) -> &'static [&'static str] {
    match kind {
        EntityKind::Device => &["createdTime", "name", "label", "type", "customerTitle"],
        EntityKind::DeviceProfile => &["createdTime", "name"],
        EntityKind::Customer | EntityKind::User => &["createdTime"],
        EntityKind::Tenant | EntityKind::TenantProfile => &[],
    }
}

fn few(candidates: usize) -> Result<(), Error> {
    if candidates <= CANDIDATES_MAX {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "this question would have to look at more than {CANDIDATES_MAX} entities one by one; name \
         fewer of them, or do without conditions and an order by values"
    )))
}

/// Rows read from the registry at a time.
const READ_ROWS: u32 = 1_000;
