//! The certificate board: what expires when; and what a certificate is (our own endpoints).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use thingport_core::registry::certificates::inspect;
use thingport_model::page::PageLink;
use thingport_model::time::Timestamp;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::certificate::{CertificateBody, SightBody, SightInput};
use crate::dto::page::PageBody;
use crate::error::Refusal;
use crate::extract::{Body, Params};
use crate::route::{PAGE, Query, Route, S_T, S_T_C, optional, required};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/thingport/certificates", certificates)
            .who(S_T_C)
            .about(
                "Certificates of devices, of device profiles and of the server, the soonest to expire \
                 first.",
            )
            .query(&[PAGE_SIZE, PAGE, BEFORE])
            .answer_page::<CertificateBody>(),
        Route::post("/api/thingport/certificates/inspect", look_at)
            .who(S_T)
            .about("What a certificate is, before it is saved: PEM with or without its frame, or a chain.")
            .body::<SightInput>()
            .answer::<SightBody>(),
    ]
}

async fn certificates(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<CertificateBody>>, Refusal> {
    let PageLink { size, page, .. } = params.page()?;
    let link = PageLink { size, page, text_search: None, sort: None };
    let before = params.parsed("before")?.map_or(Timestamp::MAX, Timestamp);
    let (server, now) = (api.server_certificates(), api.now());
    let found = api.node().registry.certificates(&caller, &server, before, link.clone()).await?;
    Ok(Json(PageBody::of(found, &link, |row| CertificateBody::of(row, now))))
}

async fn look_at(
    State(api): State<Arc<Api>>,
    _: SignedIn,
    Body(input): Body<SightInput>,
) -> Result<Json<SightBody>, Refusal> {
    let sight = inspect(&input.certificate)?;
    Ok(Json(SightBody::of(sight, api.now())))
}

const PAGE_SIZE: Query = required("pageSize", "Rows per page, 1 to 1000.");
const BEFORE: Query = optional("before", "Only what expires before this moment, milliseconds.");
