//! What runs here (REST API section 19).

use serde::Serialize;
use utoipa::ToSchema;

/// Name and version of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SystemInfo)]
pub(crate) struct SystemBody {
    pub(crate) version: String,
    #[schema(value_type = String)]
    pub(crate) artifact: &'static str,
    #[schema(value_type = String)]
    pub(crate) name: &'static str,
    /// `CE`: the flavour of the contract that is served.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub(crate) kind: &'static str,
}
