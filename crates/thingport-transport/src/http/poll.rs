//! What a device asks to be told over HTTP: its attributes, changes of them, and calls. A request that
//! waits listens beside the device's MQTT connection, if there is one, and displaces nothing. It is told
//! one thing; what happens between two requests is not kept for the device, except calls, which wait.

use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use thingport_core::attributes::AttributesWanted;
use thingport_core::node::Node;
use thingport_core::presence::{Ear, Letter, Wants};
use thingport_core::registry::DeviceLogin;
use thingport_device::link::body_for_http;
use thingport_device::reject::Reject;
use thingport_model::downlink::Downlink;
use thingport_model::reason::Reason;
use thingport_model::rpc::CallProgress;
use thingport_model::uplink::{AttributeRequest, KeyList, WantedKeys};

use super::answer;
use super::answer::Failed;
use super::shared::{DeviceHttp, DeviceHttpBounds, Http, Members, NOWHERE, Remote, member};
use super::visit::Visit;

/// `GET attributes`: those of the keys that are named, or all (H-3, H-4).
pub(super) async fn attributes(
    http: Http,
    remote: Remote,
    path: Path<String>,
    query: Members,
) -> Response {
    found(&http, remote, &path, &query).await.into_response()
}

async fn found(
    http: &DeviceHttp,
    remote: Remote,
    token: &str,
    query: &[(String, String)],
) -> Result<Response, Failed> {
    let visit = Visit::begin(http, remote, token).await?;
    visit.charge(0).await?;
    http.node.metrics.questions.add(1);
    let found = http.node.attributes.asked(visit.login.device_id, wanted(query)).await;
    let found = Box::new(found.map_err(|_| visit.refuse(Reason::AnswerFailed, ""))?);
    let told = body_for_http(&Downlink::AttributesAnswer { reply_to: NOWHERE, found });
    Ok(answer::json(told.unwrap_or_default()))
}

/// A list without any name counts as absent, as over MQTT (JS-064).
fn wanted(query: &[(String, String)]) -> AttributesWanted {
    let named = |name| {
        let keys = member(query, name).map(KeyList);
        keys.filter(|keys| keys.iter().next().is_some()).map(WantedKeys::Named)
    };
    let (client, shared) = match (named("clientKeys"), named("sharedKeys")) {
        (None, None) => (WantedKeys::All, WantedKeys::All),
        (client, shared) => {
            (client.unwrap_or(WantedKeys::None), shared.unwrap_or(WantedKeys::None))
        }
    };
    AttributeRequest { reply_to: NOWHERE, client, shared }.into()
}

/// `GET attributes/updates`: the next change of shared attributes.
pub(super) async fn updates(
    http: Http,
    remote: Remote,
    path: Path<String>,
    query: Members,
) -> Response {
    let wants = Wants { attributes: true, calls: false };
    waited(&http, remote, &path, &query, wants).await.into_response()
}

/// `GET rpc`: the next call.
pub(super) async fn calls(
    http: Http,
    remote: Remote,
    path: Path<String>,
    query: Members,
) -> Response {
    let wants = Wants { attributes: false, calls: true };
    waited(&http, remote, &path, &query, wants).await.into_response()
}

async fn waited(
    http: &DeviceHttp,
    remote: Remote,
    token: &str,
    query: &[(String, String)],
    wants: Wants,
) -> Result<Response, Failed> {
    let visit = Visit::begin(http, remote, token).await?;
    let time = time(query, &http.bounds).map_err(|reject| visit.reject(&reject))?;
    visit.charge(0).await?;
    let vigil = Vigil::begin(&visit, wants)?;
    tokio::select! {
        told = vigil.told() => Ok(told),
        () = tokio::time::sleep(time) => Err(Failed::TooLate),
        () = http.drain.begun() => Err(Reason::ServerShuttingDown.into()),
    }
}

/// How long is waited (H-2).
fn time(query: &[(String, String)], bounds: &DeviceHttpBounds) -> Result<Duration, Reject> {
    let ms = match member(query, "timeout").filter(|text| !text.is_empty()) {
        None => 0,
        Some(text) => text.parse::<u64>().map_err(|_| {
            Reject::new(Reason::PollTime, "timeout is not a number of milliseconds")
        })?,
    };
    let ms = if ms == 0 { bounds.poll_ms } else { ms };
    Ok(Duration::from_millis(ms.min(bounds.poll_max_ms)))
}

/// A request that waits. However it ends, calls that it was given and did not take go to the next one.
struct Vigil {
    node: Arc<Node>,
    login: Arc<DeviceLogin>,
    wants: Wants,
    /// Present until the end.
    ear: Option<Ear>,
}

impl Vigil {
    fn begin(visit: &Visit<'_>, wants: Wants) -> Result<Self, Failed> {
        let ear = Some(visit.wait_for(wants)?);
        let (node, login) = (Arc::clone(&visit.http.node), Arc::clone(&visit.login));
        if wants.calls {
            node.calls.polled(&login);
        }
        Ok(Self { node, login, wants, ear })
    }

    /// The answer, as soon as there is something to be told.
    async fn told(&self) -> Response {
        let Some(ear) = &self.ear else { return answer::refused(Reason::Internal) };
        loop {
            let letters = poll_fn(|cx| match ear.mailbox().poll_mail(cx) {
                Some(letters) => Poll::Ready(letters),
                None => Poll::Pending,
            });
            for letter in *letters.await {
                if let Letter::Told(downlink) = letter
                    && let Some(told) = self.answer(&downlink)
                {
                    return told;
                }
            }
        }
    }

    fn answer(&self, downlink: &Downlink) -> Option<Response> {
        if let Downlink::Close(reason) = downlink {
            return Some(answer::refused(*reason));
        }
        let body = body_for_http(downlink)?;
        self.node.metrics.downlinks.add(1);
        if let Downlink::Call { token, .. } = downlink {
            // There is no acknowledgement to wait for: what is answered counts as delivered.
            self.node.calls.progress(self.login.device_id, *token, CallProgress::Delivered);
        }
        Some(answer::json(body))
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        self.ear = None;
        if self.wants.calls {
            self.node.calls.polled(&self.login);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;
    use thingport_model::port::ledger::Keys;

    use super::*;

    fn query(text: &str) -> Vec<(String, String)> {
        let uri = format!("http://h/?{text}").parse().expect("an address");
        let Query(members): Members = Query::try_from_uri(&uri).expect("a query");
        members
    }

    #[test]
    fn both_groups_are_meant_when_none_is_named() {
        let all = || Some(Keys::All);
        let of =
            |keys: &[&str]| Some(Keys::Named(keys.iter().map(|key| (*key).to_owned()).collect()));
        let rows = [
            ("", all(), all()),
            ("clientKeys&sharedKeys=", all(), all()),
            ("clientKeys=&sharedKeys", all(), all()),
            ("clientKeys=a,b", of(&["a", "b"]), None),
            ("sharedKeys=c", None, of(&["c"])),
            ("clientKeys=a&sharedKeys=c", of(&["a"]), of(&["c"])),
            ("clientKeys=a&sharedKeys=", of(&["a"]), None),
            ("clientKeys=%C3%A4%2Cb", of(&["b", "\u{e4}"]), None),
        ];
        for (text, client, shared) in rows {
            assert_eq!(wanted(&query(text)), AttributesWanted { client, shared }, "{text}");
        }
    }

    #[test]
    fn the_time_to_wait_has_a_default_and_a_bound() {
        let rows = [
            ("", Some(60_000)),
            ("timeout=0", Some(60_000)),
            ("timeout=", Some(60_000)),
            ("timeout=1", Some(1)),
            ("timeout=20000", Some(20_000)),
            ("timeout=300001", Some(300_000)),
            ("timeout=18446744073709551615", Some(300_000)),
            ("timeout=-1", None),
            ("timeout=soon", None),
        ];
        for (text, ms) in rows {
            let expected = ms.map(Duration::from_millis);
            let bounds = DeviceHttpBounds::default();
            assert_eq!(time(&query(text), &bounds).ok(), expected, "{text}");
        }
    }
}
