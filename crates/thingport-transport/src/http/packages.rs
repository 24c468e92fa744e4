//! Firmware and software over HTTP (H-7). A package is streamed from its file, so that none is in memory
//! however many devices download.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use thingport_core::error::Error;
use thingport_core::node::Node;
use thingport_core::packages::{NotServed, READ_BYTES};
use thingport_device::reject::Reject;
use thingport_model::ota::{PackageData, PackageKind};
use thingport_model::reason::Reason;

use super::answer::Failed;
use super::shared::{DeviceHttp, Http, Members, Remote, member};
use super::visit::Visit;

/// `GET firmware`
pub(super) async fn firmware(
    http: Http,
    remote: Remote,
    path: Path<String>,
    query: Members,
) -> Response {
    let served = package(&http, remote, &path, &query, PackageKind::Firmware);
    served.await.into_response()
}

/// `GET software`
pub(super) async fn software(
    http: Http,
    remote: Remote,
    path: Path<String>,
    query: Members,
) -> Response {
    let served = package(&http, remote, &path, &query, PackageKind::Software);
    served.await.into_response()
}

async fn package(
    http: &DeviceHttp,
    remote: Remote,
    token: &str,
    query: &[(String, String)],
    kind: PackageKind,
) -> Result<Response, Failed> {
    let visit = Visit::begin(http, remote, token).await?;
    let numbers = number(query, "size").and_then(|size| Ok((size, number(query, "chunk")?)));
    let (size, chunk) = numbers.map_err(|reject| visit.reject(&reject))?;
    // Only the first request of a download counts, as over MQTT (OT-020).
    if chunk == 0 {
        visit.charge_uncounted().await?;
    }
    http.node.metrics.questions.add(1);
    let named = |name| member(query, name).unwrap_or_default();
    let found =
        http.node.packages.named(&visit.login, kind, named("title"), named("version")).await;
    let data = found.map_err(|why| match why {
        NotServed::NotAssigned => visit.refuse(Reason::PackageNotFound, kind.name()),
        NotServed::Other => visit.reject(&Reject::new(
            Reason::PackageRequest,
            "title and version are not those of the package that is assigned",
        )),
        NotServed::Elsewhere => visit.refuse(Reason::PackageNotFound, "the package is at its URL"),
        NotServed::Unavailable => visit.refuse(Reason::PackageFailed, ""),
    })?;
    Ok(streamed(Arc::clone(&http.node), data, size, chunk))
}

/// A member of the query that is a number; 0 when absent.
fn number(query: &[(String, String)], name: &str) -> Result<u32, Reject> {
    match member(query, name).filter(|text| !text.is_empty()) {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| {
            Reject::new(Reason::PackageRequest, format!("{name} is not a number from 0"))
        }),
    }
}

/// From where to where: all of it, or the part `chunk` of `size` bytes.
fn range(all: u64, size: u32, chunk: u32) -> (u64, u64) {
    if size == 0 {
        return (0, all);
    }
    let at = u64::from(size) * u64::from(chunk);
    (at.min(all), at.saturating_add(u64::from(size)).min(all))
}

fn streamed(node: Arc<Node>, data: PackageData, size: u32, chunk: u32) -> Response {
    let (at, end) = range(data.size, size, chunk);
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, (end - at).to_string()),
    ];
    let parts = stream::try_unfold((node, data, at), move |(node, data, at)| async move {
        if at >= end {
            return Ok::<_, std::io::Error>(None);
        }
        let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_BYTES);
        let read: Result<Bytes, Error> = node.packages.read(&data, at, len).await;
        // The connection is cut off, so that the device does not take a part for the whole.
        let bytes = read.map_err(|_| std::io::Error::other("a package cannot be read"))?;
        let next = at + bytes.len() as u64;
        Ok(Some((bytes, (node, data, next))))
    });
    (headers, Body::from_stream(parts)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_where_the_package_ends() {
        let rows = [
            ((10, 0, 0), (0, 10)),
            ((10, 0, 7), (0, 10)),
            ((10, 4, 0), (0, 4)),
            ((10, 4, 2), (8, 10)),
            ((10, 4, 3), (10, 10)),
            ((10, u32::MAX, u32::MAX), (10, 10)),
            ((0, 4, 0), (0, 0)),
        ];
        for ((all, size, chunk), expected) in rows {
            assert_eq!(range(all, size, chunk), expected, "{all} {size} {chunk}");
        }
    }
}
