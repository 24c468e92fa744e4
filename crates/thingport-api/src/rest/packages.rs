//! Packages: firmware and software for devices (REST API 15.2).

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use thingport_core::access::Caller;
use thingport_core::packages::READ_BYTES;
use thingport_model::id::{DeviceProfileId, PackageId};
use thingport_model::ota::{ChecksumAlgorithm, PackageContent, PackageData};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::dto::id::parse_id;
use crate::dto::package::{
    PackageBody, PackageInput, RolloutBody, checksum_algorithm, package_kind,
};
use crate::dto::page::PageBody;
use crate::error::{Refusal, too_large};
use crate::extract::{Body as JsonBody, Params, Segments};
use crate::route::{PAGED, Query, Route, T, optional};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/otaPackage", save)
            .who(T)
            .about("Create a package without data, or change its title, tag and additionalInfo.")
            .body::<PackageInput>()
            .answer::<PackageBody>(),
        Route::post("/api/otaPackage/{otaPackageId}", upload)
            .who(T)
            .about("Upload the data of a package: one part named file.")
            .query(UPLOAD)
            .file_body()
            .answer::<PackageBody>()
            // What is uploaded is not held in memory, so its own bound counts, not that of bodies.
            .layer(DefaultBodyLimit::disable()),
        Route::get("/api/otaPackage/info/{otaPackageId}", info)
            .about("What is known of a package.")
            .answer::<PackageBody>(),
        Route::get("/api/otaPackage/{otaPackageId}", whole)
            .who(T)
            .about("What is known of a package, with its data in base64.")
            .answer::<PackageBody>(),
        Route::get("/api/otaPackage/{otaPackageId}/download", download)
            .who(T)
            .about("The data of a package.")
            .answer_file(),
        Route::get("/api/otaPackages", list)
            .about("A page of packages; text search on the title.")
            .query(PAGED)
            .answer_page::<PackageBody>(),
        Route::get("/api/otaPackages/{deviceProfileId}/{type}", list_ready)
            .about("A page of the packages that devices of a profile may be given.")
            .query(PAGED)
            .answer_page::<PackageBody>(),
        Route::delete("/api/otaPackage/{otaPackageId}", delete)
            .who(T)
            .about("Delete a package that no device and no profile has."),
        Route::get("/api/devices/count/{otaPackageType}/{deviceProfileId}", count)
            .about("How many devices of a profile have no package of this type of their own.")
            .answer::<u64>(),
        Route::get("/api/thingport/packages/{otaPackageId}/rollout", rollout)
            .who(T)
            .about("How many devices should have a package, and what they said about it.")
            .answer::<RolloutBody>(),
    ]
}

async fn save(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    JsonBody(input): JsonBody<PackageInput>,
) -> Result<Json<PackageBody>, Refusal> {
    let draft = input.into_draft()?;
    Ok(Json(api.node().registry.save_package(&caller, draft).await?.into()))
}

async fn upload(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
    params: Params,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<Json<PackageBody>, Response> {
    // Whether there is such a package is told before the body is looked at.
    let found = api.node().registry.package(&caller, PackageId(id)).await;
    found.map_err(|error| Refusal::from(error).into_response())?;
    let algorithm = match params.text("checksumAlgorithm") {
        Some(name) => checksum_algorithm(name).map_err(IntoResponse::into_response)?,
        None => ChecksumAlgorithm::Sha256,
    };
    let mut multipart = multipart.map_err(|error| wrong(&error))?;
    let part = multipart.next_field().await.map_err(|error| wrong(&error))?;
    let Some(part) = part.filter(|part| part.name() == Some("file")) else {
        let text = "the body must begin with a part named file";
        return Err(Refusal::bad_request(text).into_response());
    };
    let package = (PackageId(id), algorithm, params.text("checksum"));
    receive(&api, &caller, package, part).await.map(Json)
}

/// Takes a file from the network to the disk, a piece at a time.
async fn receive(
    api: &Api,
    caller: &Caller,
    (id, algorithm, checksum): (PackageId, ChecksumAlgorithm, Option<&str>),
    mut part: Field<'_>,
) -> Result<PackageBody, Response> {
    let refused = |error| Refusal::from(error).into_response();
    let file_name = clean(part.file_name().unwrap_or("package"));
    let content_type = clean(part.content_type().unwrap_or(OCTETS));
    let packages = &api.node().packages;
    let mut upload = packages.upload(caller, id, algorithm).await.map_err(refused)?;
    let config = api.config();
    loop {
        // A large file may take long; one whose sender went silent is given up.
        let piece = tokio::time::timeout(config.request_timeout, part.chunk()).await;
        let piece = piece.map_err(|_| {
            Refusal::bad_request("the upload stood still for too long and was given up")
                .into_response()
        })?;
        let Some(piece) = piece.map_err(|error| wrong(&error))? else { break };
        if upload.size() + piece.len() as u64 > config.upload_max {
            return Err(too_large(usize::try_from(config.upload_max).unwrap_or(usize::MAX)));
        }
        upload.write(piece).await.map_err(refused)?;
    }
    let saved = upload.finish(&file_name, &content_type, checksum).await.map_err(refused)?;
    Ok(saved.into())
}

async fn rollout(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<RolloutBody>, Refusal> {
    Ok(Json(api.node().rollout(&caller, PackageId(id)).await?.into()))
}

async fn info(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Json<PackageBody>, Refusal> {
    Ok(Json(api.node().registry.package(&caller, PackageId(id)).await?.into()))
}

/// The info with a member `data`, written while the data are read.
async fn whole(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Response, Refusal> {
    let package = api.node().registry.package(&caller, PackageId(id)).await?;
    let content = package.content.clone();
    let info = serde_json::to_string(&PackageBody::from(package))
        .map_err(|error| Refusal::internal(error.to_string()))?;
    let head = info.strip_suffix('}').unwrap_or(&info).to_owned();
    let json = [(header::CONTENT_TYPE, "application/json")];
    let PackageContent::Data(data) = content else {
        return Ok((json, format!("{head},\"data\":null}}")).into_response());
    };
    let one = |text: String| stream::once(async move { Ok(Bytes::from(text)) });
    let encoded = pieces(api, data).map(|piece| piece.map(|it| STANDARD.encode(it).into()));
    let body = one(format!("{head},\"data\":\"")).chain(encoded).chain(one("\"}".to_owned()));
    Ok((json, Body::from_stream(body)).into_response())
}

async fn download(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<Response, Refusal> {
    let (_, data) = api.node().packages.download(&caller, PackageId(id)).await?;
    let mut headers = HeaderMap::new();
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
    let disposition = format!("attachment;filename={}", data.file_name);
    let content_type = value(&data.content_type).unwrap_or(HeaderValue::from_static(OCTETS));
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.extend(value(&disposition).map(|it| (header::CONTENT_DISPOSITION, it)));
    headers.extend(value(&data.file_name).map(|it| (HeaderName::from_static("x-filename"), it)));
    headers.insert(header::CONTENT_LENGTH, data.size.into());
    Ok((headers, Body::from_stream(pieces(api, data))).into_response())
}

/// Data in pieces whose length is a multiple of three, but for the last one: base64 can be written
/// piece by piece.
fn pieces(api: Arc<Api>, data: PackageData) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(0_u64, move |at| {
        let (api, data) = (Arc::clone(&api), data.clone());
        async move {
            let len = READ_BYTES / 3 * 3;
            let read = api.node().packages.read(&data, at, len).await;
            let piece = read.map_err(|error| io::Error::other(format!("{error:?}")))?;
            let next = at + piece.len() as u64;
            Ok((!piece.is_empty()).then_some((piece, next)))
        }
    })
}

async fn list(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    params: Params,
) -> Result<Json<PageBody<PackageBody>>, Refusal> {
    let link = params.page()?;
    let page = api.node().registry.packages(&caller, None, link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, PackageBody::from)))
}

async fn list_ready(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((profile, kind)): Segments<(String, String)>,
    params: Params,
) -> Result<Json<PageBody<PackageBody>>, Refusal> {
    let ready_for = (DeviceProfileId(parse_id(&profile)?), package_kind(&kind)?);
    let link = params.page()?;
    api.node().registry.profile_info(&caller, ready_for.0).await?;
    let page = api.node().registry.packages(&caller, Some(ready_for), link.clone()).await?;
    Ok(Json(PageBody::of(page, &link, PackageBody::from)))
}

async fn delete(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments(id): Segments<Uuid>,
) -> Result<StatusCode, Refusal> {
    api.node().registry.delete_package(&caller, PackageId(id)).await?;
    Ok(StatusCode::OK)
}

async fn count(
    State(api): State<Arc<Api>>,
    SignedIn { caller, .. }: SignedIn,
    Segments((kind, profile)): Segments<(String, String)>,
) -> Result<Json<u64>, Refusal> {
    let (kind, profile) = (package_kind(&kind)?, DeviceProfileId(parse_id(&profile)?));
    Ok(Json(api.node().registry.devices_without_package(&caller, profile, kind).await?))
}

/// A name as headers can carry it, and not longer than names are.
fn clean(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect()
}

fn wrong(error: &impl std::fmt::Display) -> Response {
    Refusal::bad_request(format!("the upload is not what is due: {error}")).into_response()
}

const UPLOAD: &[Query] = &[
    optional("checksum", "The checksum that the data must have, hexadecimal; computed if absent."),
    optional("checksumAlgorithm", "SHA256 if absent."),
];
const OCTETS: &str = "application/octet-stream";
const NAME_CHARS_MAX: usize = 255;
