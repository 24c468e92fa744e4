//! Persistent calls: how they are kept in the table `rpc` and read back.

use rusqlite::{Connection, Row, ToSql};
use serde::{Deserialize, Serialize};
use thingport_model::id::{DeviceId, RpcId, TenantId};
use thingport_model::page::{Page, PageLink};
use thingport_model::port::error::{Conflict, PortError};
use thingport_model::rpc::{
    Call, CallFilter, CallResponse, CallStatus, CallWay, KeptProgress, PersistentCall,
};
use thingport_model::time::Timestamp;

use super::document::Document;
use super::list::List;
use super::query::{corrupt, document, get, id, many, moment, one};
use super::search::searchable;
use super::statement::{remove, run};

/// Beside the columns of `rpc`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallDocument {
    pub(super) method: String,
    pub(super) params: String,
    pub(super) retries: Option<u32>,
    pub(super) additional_info: Option<String>,
}

impl Document for CallDocument {}

impl From<&PersistentCall> for CallDocument {
    fn from(it: &PersistentCall) -> Self {
        Self {
            method: it.call.method.clone(),
            params: it.call.params.clone(),
            retries: it.retries,
            additional_info: it.additional_info.clone(),
        }
    }
}

pub(super) fn put(connection: &Connection, it: &PersistentCall) -> Result<(), PortError> {
    let sql = "INSERT INTO rpc (id, created_at, tenant_id, device_id, number, two_way, expires_at, \
               status, is_open, misses, response_kind, response, search, document) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let (kind, response) = response_columns(it.progress.response.as_ref());
    let values: &[&dyn ToSql] = &[
        it.id.0.as_bytes(),
        &it.created_at.ms(),
        it.tenant_id.0.as_bytes(),
        it.device_id.0.as_bytes(),
        &it.call.id,
        &i16::from(it.way == CallWay::TwoWay),
        &it.expires_at.ms(),
        &(it.progress.status as u8),
        &i16::from(it.is_open()),
        &it.progress.misses,
        &kind,
        &response,
        &search(it),
        &CallDocument::from(it).write()?,
    ];
    run(connection, sql, values).map(drop).map_err(|error| match error {
        PortError::Conflict(Conflict::Version) => PortError::Conflict(Conflict::RpcId),
        other => other,
    })
}

pub(super) fn progress(
    connection: &Connection,
    id: RpcId,
    it: &KeptProgress,
) -> Result<(), PortError> {
    let sql = "UPDATE rpc SET status = $1, misses = $2, response_kind = $3, response = $4, \
               is_open = CASE two_way WHEN 1 THEN $5 ELSE $6 END WHERE id = $7";
    let (kind, response) = response_columns(it.response.as_ref());
    let values: &[&dyn ToSql] = &[
        &(it.status as u8),
        &it.misses,
        &kind,
        &response,
        &i16::from(it.status.is_open(CallWay::TwoWay)),
        &i16::from(it.status.is_open(CallWay::OneWay)),
        id.0.as_bytes(),
    ];
    run(connection, sql, values).map(drop)
}

pub(super) fn delete(connection: &Connection, id: RpcId) -> Result<(), PortError> {
    match remove(connection, "DELETE FROM rpc WHERE id = $1", &[id.0.as_bytes()])? {
        0 => Err(PortError::Conflict(Conflict::Missing)),
        _ => Ok(()),
    }
}

pub(super) fn forget(
    connection: &Connection,
    tenant: TenantId,
    before: Timestamp,
    limit: u32,
) -> Result<(), PortError> {
    let sql = "DELETE FROM rpc WHERE id IN (SELECT id FROM rpc WHERE tenant_id = $1 \
               AND is_open = 0 AND created_at < $2 ORDER BY created_at LIMIT $3)";
    run(connection, sql, &[tenant.0.as_bytes(), &before.ms(), &limit]).map(drop)
}

pub(super) fn by_id(
    connection: &Connection,
    id: RpcId,
) -> Result<Option<PersistentCall>, PortError> {
    one(connection, "SELECT * FROM rpc WHERE id = $1", &[id.0.as_bytes()], call)
}

pub(super) fn page(
    connection: &Connection,
    filter: CallFilter,
    link: &PageLink,
) -> Result<Page<PersistentCall>, PortError> {
    let list = List::of("rpc")
        .belonging("device_id", Some(filter.device_id.0))
        .numbered("status", filter.status.map(|status| i64::from(status as u8)))
        .searched(link.text_search.as_deref());
    list.page(connection, link, sort, call)
}

pub(super) fn open(connection: &Connection, limit: u32) -> Result<Vec<PersistentCall>, PortError> {
    let sql = "SELECT * FROM rpc WHERE is_open = 1 ORDER BY created_at, number LIMIT $1";
    many(connection, sql, &[&limit], call)
}

/// The text in which text search looks, and by which requests are sorted.
pub(super) fn search(it: &PersistentCall) -> String {
    searchable([Some(it.call.method.as_str()), Some(it.call.params.as_str())])
}

/// What responses are sorted by.
pub(super) fn response_text(response: Option<&CallResponse>) -> String {
    response_columns(response).1.unwrap_or_default()
}

fn call(row: &Row<'_>) -> Result<PersistentCall, PortError> {
    let document = document::<CallDocument>(row)?;
    let status = CallStatus::from_number(get(row, "status")?);
    let two_way: bool = get(row, "two_way")?;
    Ok(PersistentCall {
        id: RpcId(id(row, "id")?),
        created_at: moment(row)?,
        tenant_id: TenantId(id(row, "tenant_id")?),
        device_id: DeviceId(id(row, "device_id")?),
        call: Call { id: get(row, "number")?, method: document.method, params: document.params },
        way: if two_way { CallWay::TwoWay } else { CallWay::OneWay },
        expires_at: Timestamp(get(row, "expires_at")?),
        retries: document.retries,
        additional_info: document.additional_info,
        progress: KeptProgress {
            status: status.ok_or_else(|| corrupt("an unknown status of a call"))?,
            misses: get(row, "misses")?,
            response: response(get(row, "response_kind")?, get(row, "response")?)?,
        },
    })
}

/// Number and text of a response. The numbers are part of the stored form.
fn response_columns(response: Option<&CallResponse>) -> (Option<u8>, Option<String>) {
    match response {
        None => (None, None),
        Some(CallResponse::Answer(text)) => (Some(1), Some(text.clone())),
        Some(CallResponse::NotAcknowledged(retries)) => (Some(2), Some(retries.to_string())),
        Some(CallResponse::NotAnswered) => (Some(3), None),
        Some(CallResponse::Impossible) => (Some(4), None),
    }
}

fn response(kind: Option<u8>, text: Option<String>) -> Result<Option<CallResponse>, PortError> {
    let text = text.unwrap_or_default();
    Ok(match kind {
        None => None,
        Some(1) => Some(CallResponse::Answer(text)),
        Some(2) => {
            let retries = text.parse().map_err(|_| corrupt("a wrong number of retries"))?;
            Some(CallResponse::NotAcknowledged(retries))
        }
        Some(3) => Some(CallResponse::NotAnswered),
        Some(4) => Some(CallResponse::Impossible),
        Some(_) => return Err(corrupt("an unknown response of a call")),
    })
}

/// ThingsBoard's name of a property to the expression it is sorted by.
fn sort(property: &str) -> Option<&'static str> {
    match property {
        "createdTime" => Some("t.created_at"),
        "expirationTime" => Some("t.expires_at"),
        "request" => Some("t.search"),
        "response" => Some("COALESCE(t.response, '')"),
        _ => None,
    }
}
