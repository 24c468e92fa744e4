//! What runs here (REST API section 19).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::system::SystemBody;
use crate::route::{Route, S_T_C};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/system/info", system_info)
            .who(S_T_C)
            .about("Name and version of the server.")
            .answer::<SystemBody>(),
    ]
}

async fn system_info(State(api): State<Arc<Api>>, _: SignedIn) -> Json<SystemBody> {
    Json(SystemBody {
        version: api.config().version.clone(),
        artifact: "thingport",
        name: "Thingport",
        kind: "CE",
    })
}
