//! Bulk import of devices from a table of comma-separated values (REST API section 12).
//!
//! A row becomes the bodies that the single calls take - a device, its credentials, attributes, readings -
//! and goes the same way, so that no rule is told twice. A wrong row is reported with its line and
//! keeps no other row from being imported.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use csv::{ReaderBuilder, StringRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thingport_core::access::Caller;
use thingport_core::error::Error;
use thingport_model::attribute::Scope;
use thingport_model::device::Device;
use utoipa::ToSchema;

use super::draft;
use crate::api::{Api, BodyKind};
use crate::auth::SignedIn;
use crate::dto::device::DeviceBody;
use crate::error::Refusal;
use crate::extract::{Body, Params};
use crate::rest::credentials;
use crate::rest::telemetry::check_keys;
use crate::route::{Route, T};

pub(in crate::rest) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/device/bulk_import", import)
            .who(T)
            .about("Create or change devices from a table; wrong rows are reported, others kept.")
            .body::<ImportInput>()
            .answer::<ImportBody>(),
    ]
}

/// A table and what its columns mean.
#[derive(Deserialize, ToSchema)]
struct ImportInput {
    /// The table, one device a line.
    file: String,
    mapping: Mapping,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = BulkImportMapping)]
struct Mapping {
    columns: Vec<Column>,
    /// One character; a comma when absent.
    delimiter: Option<String>,
    /// Whether a device whose name exists is changed rather than reported.
    #[serde(default)]
    update: bool,
    /// Whether the first line holds names of columns.
    #[serde(default)]
    header: bool,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = BulkImportColumn)]
struct Column {
    /// `NAME`, `TYPE`, `LABEL`, `ACCESS_TOKEN`, ...
    #[serde(rename = "type")]
    kind: String,
    /// The key of an attribute or a time series.
    key: Option<String>,
}

/// What came of an import.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BulkImportResult)]
#[serde(rename_all = "camelCase")]
struct ImportBody {
    created: u64,
    updated: u64,
    errors: u64,
    /// One text a wrong row; it starts with the line.
    errors_list: Vec<String>,
}

async fn import(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Body(input): Body<ImportInput>,
) -> Result<Json<ImportBody>, Refusal> {
    let fields = fields(&input.mapping.columns)?;
    let rows = rows(&input)?;
    let mut done = ImportBody::default();
    for (line, row) in rows {
        let saved = match row.and_then(|row| Row::read(&fields, &row)) {
            Ok(row) => save(&api, &caller, row, input.mapping.update).await,
            Err(fault) => Err(Refusal::bad_request(fault)),
        };
        match saved {
            Ok(Saved::Created) => done.created += 1,
            Ok(Saved::Updated) => done.updated += 1,
            Err(refusal) => {
                done.errors += 1;
                done.errors_list.push(format!("Line {line}: {}", refusal.message()));
            }
        }
    }
    Ok(Json(done))
}

enum Saved {
    Created,
    Updated,
}

async fn save(api: &Api, caller: &Caller, row: Row, update: bool) -> Result<Saved, Refusal> {
    let registry = &api.node().registry;
    let known = match registry.device_by_name(caller, &row.name).await {
        Ok(device) if update => Some(device),
        Ok(_) => {
            let what = format!("a device with the name {:?} exists", row.name);
            return Err(Refusal::bad_request(what));
        }
        Err(Error::NotFound(_)) => None,
        Err(other) => return Err(other.into()),
    };
    let is_new = known.is_none();
    let draft = draft(from_json(row.device(known)?)?, &Params::default())?;
    let credentials = match row.credentials() {
        Some(body) => Some(credentials::draft(from_json(body)?)?),
        None => None,
    };
    let device = match credentials {
        Some(credentials) => {
            registry.save_device_with_credentials(caller, draft, credentials).await?
        }
        None => registry.save_device(caller, draft, None).await?,
    };
    row.store(api, caller, &device).await?;
    Ok(if is_new { Saved::Created } else { Saved::Updated })
}

/// What a column fills.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Type,
    Label,
    Description,
    IsGateway,
    AccessToken,
    Certificate,
    ClientId,
    UserName,
    Password,
    Attribute(Scope, String),
    Reading(String),
    /// A column of a protocol that is not spoken here, by its name.
    Foreign(String),
}

impl Field {
    fn of(column: &Column) -> Result<Self, String> {
        let key = || {
            let key = column.key.as_deref().map(str::trim).filter(|key| !key.is_empty());
            key.map(str::to_owned).ok_or_else(|| format!("a column {} needs a key", column.kind))
        };
        match column.kind.as_str() {
            "NAME" => Ok(Self::Name),
            "TYPE" => Ok(Self::Type),
            "LABEL" => Ok(Self::Label),
            "DESCRIPTION" => Ok(Self::Description),
            "IS_GATEWAY" => Ok(Self::IsGateway),
            "ACCESS_TOKEN" => Ok(Self::AccessToken),
            "X509" => Ok(Self::Certificate),
            "MQTT_CLIENT_ID" => Ok(Self::ClientId),
            "MQTT_USER_NAME" => Ok(Self::UserName),
            "MQTT_PASSWORD" => Ok(Self::Password),
            "SHARED_ATTRIBUTE" => Ok(Self::Attribute(Scope::Shared, key()?)),
            "SERVER_ATTRIBUTE" => Ok(Self::Attribute(Scope::Server, key()?)),
            "TIMESERIES" => Ok(Self::Reading(key()?)),
            kind if kind.starts_with("LWM2M") || kind.starts_with("SNMP") => {
                Ok(Self::Foreign(kind.to_owned()))
            }
            kind => Err(format!("{kind:?} is not a type of column")),
        }
    }
}

fn fields(columns: &[Column]) -> Result<Vec<Field>, Refusal> {
    let fields: Result<Vec<_>, _> = columns.iter().map(Field::of).collect();
    let fields = fields.map_err(Refusal::bad_request)?;
    if fields.contains(&Field::Name) {
        return Ok(fields);
    }
    Err(Refusal::bad_request("one of the columns must be of type NAME"))
}

type Line = (u64, Result<StringRecord, String>);

/// The rows with the lines they start on.
fn rows(input: &ImportInput) -> Result<Vec<Line>, Refusal> {
    let delimiter = match input.mapping.delimiter.as_deref().unwrap_or(",").as_bytes() {
        [one] => *one,
        _ => return Err(Refusal::bad_request("the delimiter must be one character of ASCII")),
    };
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(input.mapping.header)
        .flexible(true)
        .from_reader(input.file.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        if rows.len() == ROWS_MAX {
            let what = format!("more than {ROWS_MAX} rows; import the table in parts");
            return Err(Refusal::bad_request(what));
        }
        let line = match &record {
            Ok(record) => record.position().map(csv::Position::line),
            Err(error) => error.position().map(csv::Position::line),
        };
        let record = record.map_err(|error| format!("not a row of a table: {error}"));
        rows.push((line.unwrap_or_default(), record));
    }
    Ok(rows)
}

/// One device of the table. Empty cells say nothing.
#[derive(Debug, Default, PartialEq)]
struct Row {
    name: String,
    kind: Option<String>,
    label: Option<String>,
    description: Option<String>,
    is_gateway: Option<bool>,
    token: Option<String>,
    certificate: Option<String>,
    basic: Map<String, Value>,
    attributes: Vec<(Scope, Map<String, Value>)>,
    readings: Map<String, Value>,
}

impl Row {
    fn read(fields: &[Field], record: &StringRecord) -> Result<Self, String> {
        if record.len() > fields.len() {
            return Err(format!("{} cells, but {} columns", record.len(), fields.len()));
        }
        let mut row = Self::default();
        for (field, cell) in fields.iter().zip(record).filter(|(_, cell)| !cell.trim().is_empty()) {
            row.fill(field, cell.trim())?;
        }
        if row.name.is_empty() {
            return Err("the device has no name".to_owned());
        }
        let kinds = [row.token.is_some(), row.certificate.is_some(), !row.basic.is_empty()];
        if kinds.into_iter().filter(|given| *given).count() > 1 {
            return Err("a device has one kind of credentials, the row gives several".to_owned());
        }
        Ok(row)
    }

    fn fill(&mut self, field: &Field, cell: &str) -> Result<(), String> {
        let text = cell.to_owned();
        match field {
            Field::Name => self.name = text,
            Field::Type => self.kind = Some(text),
            Field::Label => self.label = Some(text),
            Field::Description => self.description = Some(text),
            Field::IsGateway => self.is_gateway = Some(truth(cell)?),
            Field::AccessToken => self.token = Some(text),
            Field::Certificate => self.certificate = Some(text),
            Field::ClientId => drop(self.basic.insert("clientId".to_owned(), text.into())),
            Field::UserName => drop(self.basic.insert("userName".to_owned(), text.into())),
            Field::Password => drop(self.basic.insert("password".to_owned(), text.into())),
            Field::Attribute(scope, key) => {
                let known = self.attributes.iter_mut().find(|(known, _)| known == scope);
                match known {
                    Some((_, values)) => drop(values.insert(key.clone(), typed(cell))),
                    None => {
                        let values = Map::from_iter([(key.clone(), typed(cell))]);
                        self.attributes.push((*scope, values));
                    }
                }
            }
            Field::Reading(key) => drop(self.readings.insert(key.clone(), typed(cell))),
            Field::Foreign(kind) => {
                return Err(format!("column {kind} belongs to a protocol that is not spoken here"));
            }
        }
        Ok(())
    }

    /// The body of a save: of a new device, or of the known one with what the row says about it.
    fn device(&self, known: Option<Device>) -> Result<Value, Refusal> {
        let mut body = match known {
            Some(device) => serde_json::to_value(DeviceBody::from(device))
                .map_err(|error| Refusal::internal(error.to_string()))?,
            None => json!({ "name": self.name }),
        };
        if let Some(kind) = &self.kind {
            // The name of the profile counts only where its id is not given (D-3).
            body["deviceProfileId"] = Value::Null;
            body["type"] = kind.clone().into();
        }
        if let Some(label) = &self.label {
            body["label"] = label.clone().into();
        }
        let mut extra = body["additionalInfo"].as_object().cloned().unwrap_or_default();
        if let Some(text) = &self.description {
            extra.insert("description".to_owned(), text.clone().into());
        }
        if let Some(is_gateway) = self.is_gateway {
            extra.insert("gateway".to_owned(), is_gateway.into());
        }
        if !extra.is_empty() {
            body["additionalInfo"] = Value::Object(extra);
        }
        Ok(body)
    }

    /// The body of the device's credentials, if the row names any.
    fn credentials(&self) -> Option<Value> {
        if let Some(token) = &self.token {
            return Some(json!({ "credentialsType": "ACCESS_TOKEN", "credentialsId": token }));
        }
        if let Some(pem) = &self.certificate {
            return Some(json!({ "credentialsType": "X509_CERTIFICATE", "credentialsValue": pem }));
        }
        if self.basic.is_empty() {
            return None;
        }
        let value = Value::Object(self.basic.clone()).to_string();
        Some(json!({ "credentialsType": "MQTT_BASIC", "credentialsValue": value }))
    }

    async fn store(&self, api: &Api, caller: &Caller, device: &Device) -> Result<(), Refusal> {
        let entity = device.id.entity();
        for (scope, values) in &self.attributes {
            let body = Value::Object(values.clone()).to_string();
            let attributes = api.decode(body.as_bytes(), BodyKind::Attributes)?;
            check_keys(&attributes)?;
            api.node().attributes.write(caller, entity, *scope, &attributes).await?;
        }
        if self.readings.is_empty() {
            return Ok(());
        }
        let body = Value::Object(self.readings.clone()).to_string();
        let readings = api.decode(body.as_bytes(), BodyKind::Telemetry)?;
        check_keys(&readings)?;
        Ok(api.node().telemetry.write(caller, entity, &readings, None).await?)
    }
}

/// A cell as a device would send it: a truth value, or a text that is typed like any (T-41).
fn typed(cell: &str) -> Value {
    match cell {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => text.into(),
    }
}

fn truth(cell: &str) -> Result<bool, String> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("{cell:?} is neither true nor false")),
    }
}

fn from_json<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Refusal> {
    serde_json::from_value(body).map_err(|error| Refusal::bad_request(error.to_string()))
}

/// Rows of one request: each is a durable write, and a request may take half a minute.
const ROWS_MAX: usize = 10_000;

#[cfg(test)]
mod tests;
