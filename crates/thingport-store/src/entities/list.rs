//! Pages of rows: filter, text search, order, count (REST API 1.5).

use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};
use thingport_model::credentials::DeviceCertificate;
use thingport_model::device::{DeviceFilter, DeviceOverview};
use thingport_model::id::{CustomerId, DeviceId, TenantId};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::error::PortError;
use thingport_model::time::Timestamp;
use uuid::Uuid;

use super::activity;
use super::query::{Read, certificate, count, fault, many, overview};
use super::search::pattern;

/// Which rows of one table, aliased `t`.
pub(super) struct List<'a> {
    table: &'a str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl<'a> List<'a> {
    pub(super) const fn of(table: &'a str) -> Self {
        Self { table, conditions: Vec::new(), values: Vec::new() }
    }

    /// Only rows whose `column` is this id, if one is given.
    pub(super) fn belonging(mut self, column: &str, id: Option<Uuid>) -> Self {
        if let Some(id) = id {
            let mark = self.mark(Value::Blob(id.as_bytes().to_vec()));
            self.conditions.push(format!("t.{column} = {mark}"));
        }
        self
    }

    /// Only rows whose `column` is this number, if one is given.
    pub(super) fn numbered(mut self, column: &str, number: Option<i64>) -> Self {
        if let Some(number) = number {
            let mark = self.mark(Value::Integer(number));
            self.conditions.push(format!("t.{column} = {mark}"));
        }
        self
    }

    /// Only rows whose `search` contains the text.
    pub(super) fn searched(mut self, text: Option<&str>) -> Self {
        if let Some(pattern) = pattern(text) {
            let mark = self.mark(Value::Text(pattern));
            self.conditions.push(format!("t.search LIKE {mark} ESCAPE '\\'"));
        }
        self
    }

    /// One page of the rows as they are.
    pub(super) fn page<T>(
        self,
        connection: &Connection,
        link: &PageLink,
        sorts: Sorts,
        read: Read<T>,
    ) -> Result<Page<T>, PortError> {
        self.page_with(connection, link, sorts, Shape { columns: "t.*", joins: "", read })
    }

    fn mark(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn filter(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.conditions.join(" AND "))
    }

    /// The ids of the page are found first, so that joins and documents are read for its rows only.
    fn page_with<T>(
        mut self,
        connection: &Connection,
        link: &PageLink,
        sorts: Sorts,
        shape: Shape<'_, T>,
    ) -> Result<Page<T>, PortError> {
        // Count and rows from the same moment.
        let moment = connection.unchecked_transaction().map_err(fault)?;
        let (table, filter, order) = (self.table, self.filter(), order(link, sorts));
        let sql = format!("SELECT COUNT(*) FROM {table} t {filter}");
        let total = count(&moment, &sql, &references(&self.values))?;
        let limit = self.mark(Value::Integer(i64::from(link.size)));
        let skip = self.mark(Value::Integer(i64::from(link.page) * i64::from(link.size)));
        let (columns, joins) = (shape.columns, shape.joins);
        let sql = format!(
            "SELECT {columns} FROM {table} t {joins} WHERE t.id IN (SELECT t.id FROM {table} t \
             {filter} ORDER BY {order} LIMIT {limit} OFFSET {skip}) ORDER BY {order}"
        );
        let rows = many(&moment, &sql, &references(&self.values), shape.read)?;
        Ok(Page { rows, total })
    }
}

/// A page of devices with what lists show beside them.
pub(super) fn devices(
    connection: &Connection,
    filter: &DeviceFilter,
    link: &PageLink,
) -> Result<Page<DeviceOverview>, PortError> {
    let mut list = List::of("device")
        .belonging("tenant_id", Some(filter.tenant_id.0))
        .belonging("customer_id", filter.customer_id.map(|id| id.0))
        .belonging("profile_id", filter.profile_id.map(|id| id.0));
    list.conditions.extend(filter.active.map(activity::condition));
    list = list.numbered("is_gateway", filter.gateway.map(i64::from));
    if let Some(before) = filter.certificate_before {
        let before = list.mark(Value::Integer(before.ms()));
        list.conditions.push(format!(
            "t.id IN (SELECT device_id FROM device_credentials WHERE expires_at < {before})"
        ));
    }
    if let Some(among) = &filter.among {
        // One value, however long the list is.
        let ids = list.mark(Value::Text(listed(&among.ids)));
        let word = if among.wanted { "IN" } else { "NOT IN" };
        list.conditions.push(format!("t.id {word} (SELECT unhex(value) FROM json_each({ids}))"));
    }
    let tenant = || Value::Blob(filter.tenant_id.0.as_bytes().to_vec());
    if let Some(name) = &filter.profile_name {
        let (tenant, name) = (list.mark(tenant()), list.mark(Value::Text(name.clone())));
        list.conditions.push(format!(
            "t.profile_id IN (SELECT id FROM device_profile WHERE tenant_id = {tenant} AND name = {name})"
        ));
    }
    if let Some(pattern) = pattern(link.text_search.as_deref()) {
        let (own, tenant) = (list.mark(Value::Text(pattern)), list.mark(tenant()));
        let like = format!("LIKE {own} ESCAPE '\\'");
        list.conditions.push(format!(
            "(t.search {like} OR t.profile_id IN (SELECT id FROM device_profile \
             WHERE tenant_id = {tenant} AND search {like}) OR t.customer_id IN \
             (SELECT id FROM customer WHERE tenant_id = {tenant} AND search {like}))"
        ));
    }
    let shape = Shape { columns: OVERVIEW_COLUMNS, joins: OVERVIEW_JOINS, read: overview };
    let is_searched = pattern(link.text_search.as_deref()).is_some();
    let sorts = if is_searched { device_sort_searched } else { device_sort };
    list.page_with(connection, link, sorts, shape)
}

/// The ids as a JSON list of hexadecimal texts.
fn listed(ids: &[DeviceId]) -> String {
    let words: Vec<String> = ids.iter().map(|id| format!("\"{}\"", id.0.simple())).collect();
    format!("[{}]", words.join(","))
}

/// A page of certificates that expire before a moment, soonest first.
pub(super) fn certificates(
    connection: &Connection,
    tenant: TenantId,
    customer: Option<CustomerId>,
    before: Timestamp,
    link: &PageLink,
) -> Result<Page<DeviceCertificate>, PortError> {
    let mut values = vec![Value::Integer(before.ms()), Value::Blob(tenant.0.as_bytes().to_vec())];
    let mut filter = "c.expires_at < $1 AND d.tenant_id = $2".to_owned();
    if let Some(customer) = customer {
        values.push(Value::Blob(customer.0.as_bytes().to_vec()));
        filter.push_str(" AND d.customer_id = $3");
    }
    // Count and rows from the same moment.
    let moment = connection.unchecked_transaction().map_err(fault)?;
    let from = "device_credentials c JOIN device d ON d.id = c.device_id";
    let sql = format!("SELECT COUNT(*) FROM {from} WHERE {filter}");
    let total = count(&moment, &sql, &references(&values))?;
    let skip = i64::from(link.page) * i64::from(link.size);
    values.extend([Value::Integer(i64::from(link.size)), Value::Integer(skip)]);
    let (limit, offset) = (values.len() - 1, values.len());
    let sql = format!(
        "SELECT c.*, d.name AS device_name, d.customer_id AS customer_id, p.name AS profile_name \
         FROM {from} JOIN device_profile p ON p.id = d.profile_id WHERE {filter} \
         ORDER BY c.expires_at, c.id LIMIT ${limit} OFFSET ${offset}"
    );
    Ok(Page { rows: many(&moment, &sql, &references(&values), certificate)?, total })
}

/// ThingsBoard's name of a property to the expression it is sorted by.
pub(super) type Sorts = fn(&str) -> Option<&'static str>;

pub(super) fn tenant_sort(property: &str) -> Option<&'static str> {
    customer_sort(property)
}

pub(super) fn customer_sort(property: &str) -> Option<&'static str> {
    match property {
        "createdTime" => Some("t.created_at"),
        "title" | "name" => Some("t.title"),
        "email" => Some("COALESCE(t.email, '')"),
        "country" => Some("COALESCE(t.country, '')"),
        "city" => Some("COALESCE(t.city, '')"),
        _ => None,
    }
}

pub(super) fn tenant_profile_sort(property: &str) -> Option<&'static str> {
    match property {
        "createdTime" => Some("t.created_at"),
        "name" => Some("t.name"),
        "description" => Some("COALESCE(t.description, '')"),
        "isDefault" => Some("t.is_default"),
        _ => None,
    }
}

pub(super) fn user_sort(property: &str) -> Option<&'static str> {
    match property {
        "createdTime" => Some("t.created_at"),
        "email" | "name" => Some("t.email"),
        "firstName" => Some("COALESCE(t.first_name, '')"),
        "lastName" => Some("COALESCE(t.last_name, '')"),
        "phone" => Some("COALESCE(t.phone, '')"),
        "authority" => Some("t.authority"),
        _ => None,
    }
}

pub(super) fn api_key_sort(property: &str) -> Option<&'static str> {
    match property {
        "createdTime" => Some("t.created_at"),
        "description" => Some("t.description"),
        "enabled" => Some("t.enabled"),
        "expirationTime" => Some("COALESCE(t.expires_at, 0)"),
        _ => None,
    }
}

pub(super) fn package_sort(property: &str) -> Option<&'static str> {
    match property {
        "createdTime" => Some("t.created_at"),
        "title" | "name" => Some("t.title"),
        "version" => Some("t.package_version"),
        "tag" => Some("COALESCE(t.tag, '')"),
        "type" => Some("t.kind"),
        "dataSize" => Some("COALESCE(t.data_size, 0)"),
        _ => None,
    }
}

pub(super) fn profile_sort(property: &str) -> Option<&'static str> {
    match property {
        // Every profile has the type DEFAULT.
        "type" => Some("''"),
        "transportType" => Some("t.transport"),
        _ => tenant_profile_sort(property),
    }
}

fn device_sort(property: &str) -> Option<&'static str> {
    match property {
        "createdTime" => Some("t.created_at"),
        "name" => Some("t.name"),
        "label" => Some("COALESCE(t.label, '')"),
        "active" => Some("(t.activity = 1)"),
        "type" | "deviceProfileName" => {
            Some("(SELECT s.name FROM device_profile s WHERE s.id = t.profile_id)")
        }
        "customerTitle" => {
            Some("COALESCE((SELECT s.title FROM customer s WHERE s.id = t.customer_id), '')")
        }
        _ => None,
    }
}

/// Walking the index of creation would read every device's row to look for the text; the plus sign
/// keeps to the index that holds the searched text.
fn device_sort_searched(property: &str) -> Option<&'static str> {
    match property {
        "createdTime" => Some("+t.created_at"),
        _ => device_sort(property),
    }
}

/// What is read of the rows of a page.
struct Shape<'a, T> {
    columns: &'a str,
    joins: &'a str,
    read: Read<T>,
}

fn order(link: &PageLink, sorts: Sorts) -> String {
    let sort = link.sort.as_ref();
    let known = sort.and_then(|sort| Some((sorts(&sort.property)?, sort.descending)));
    match known {
        Some((expression, true)) => format!("{expression} DESC, t.id"),
        Some((expression, false)) => format!("{expression}, t.id"),
        None => "t.id".to_owned(),
    }
}

fn references(values: &[Value]) -> Vec<&dyn ToSql> {
    values.iter().map(|value| value as &dyn ToSql).collect()
}

const OVERVIEW_COLUMNS: &str = "t.*, p.name AS profile_name, c.title AS customer_title, \
                                c.is_public AS customer_is_public";
const OVERVIEW_JOINS: &str = "JOIN device_profile p ON p.id = t.profile_id \
                              LEFT JOIN customer c ON c.id = t.customer_id";
