//! Provisioning in Protobuf: the messages `ProvisionRequest` and `ProvisionResponse` (5.4).

use prost::Message;
use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::provision::{ProvisionRequest, Supplied};
use thingport_model::reason::Reason;

use super::{ProvisionAnswer, malformed, value_of};
use crate::reject::Reject;

/// Reads a request. A name that is absent and one that is empty look alike.
pub(super) fn read(payload: &[u8]) -> Result<ProvisionRequest, Reject> {
    let request = Request::decode(payload)
        .map_err(|error| Reject::new(Reason::PayloadNotProtobuf, error.to_string()))?;
    let Request { device_name, credentials_type, keys, data, is_gateway } = request;
    let kind = kind_of(credentials_type)
        .ok_or_else(|| malformed(format!("there is no credentialsType {credentials_type}")))?;
    let (keys, data) = (keys.unwrap_or_default(), data.unwrap_or_default());
    let basic = data.basic.unwrap_or_default();
    Ok(ProvisionRequest {
        key: keys.key,
        secret: keys.secret,
        device_name: Some(device_name).filter(|name| !name.is_empty()),
        kind,
        supplied: Supplied {
            token: data.token.unwrap_or_default().token,
            client_id: basic.client_id,
            user_name: basic.user_name,
            password: basic.password,
            certificate: data.x509.unwrap_or_default().hash,
        },
        is_gateway,
    })
}

/// Writes an answer; a refusal is its status alone (PR-010).
pub(super) fn write(answer: &ProvisionAnswer<'_>) -> Vec<u8> {
    let status = |status| Response { status, ..Response::default() };
    let response = match answer {
        ProvisionAnswer::Granted(credentials) => granted(credentials),
        ProvisionAnswer::NotFound => status(NOT_FOUND),
        ProvisionAnswer::Failure => status(FAILURE),
    };
    response.encode_to_vec()
}

fn granted(credentials: &DeviceCredentials) -> Response {
    Response {
        status: SUCCESS,
        credentials_type: number_of(credentials.kind),
        credentials_value: value_of(credentials).to_owned(),
    }
}

const fn kind_of(number: i32) -> Option<CredentialsType> {
    match number {
        0 => Some(CredentialsType::AccessToken),
        1 => Some(CredentialsType::X509Certificate),
        2 => Some(CredentialsType::MqttBasic),
        3 => Some(CredentialsType::Lwm2m),
        _ => None,
    }
}

const fn number_of(kind: CredentialsType) -> i32 {
    match kind {
        CredentialsType::AccessToken => 0,
        CredentialsType::X509Certificate => 1,
        CredentialsType::MqttBasic => 2,
        CredentialsType::Lwm2m => 3,
    }
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Request {
    #[prost(string, tag = "1")]
    device_name: String,
    #[prost(int32, tag = "2")]
    credentials_type: i32,
    #[prost(message, optional, tag = "3")]
    keys: Option<Keys>,
    #[prost(message, optional, tag = "4")]
    data: Option<Data>,
    #[prost(bool, tag = "5")]
    is_gateway: bool,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Keys {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    secret: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Data {
    #[prost(message, optional, tag = "1")]
    token: Option<Token>,
    #[prost(message, optional, tag = "2")]
    x509: Option<X509>,
    #[prost(message, optional, tag = "3")]
    basic: Option<Basic>,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Token {
    #[prost(string, tag = "1")]
    token: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct X509 {
    #[prost(string, tag = "1")]
    hash: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Basic {
    #[prost(string, tag = "1")]
    client_id: String,
    #[prost(string, tag = "2")]
    user_name: String,
    #[prost(string, tag = "3")]
    password: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Response {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(int32, tag = "2")]
    credentials_type: i32,
    #[prost(string, tag = "3")]
    credentials_value: String,
}

const SUCCESS: i32 = 1;
const NOT_FOUND: i32 = 2;
const FAILURE: i32 = 3;
