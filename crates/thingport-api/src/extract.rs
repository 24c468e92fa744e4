//! What handlers take from a request, each with the answer of the contract when it is wrong: path
//! segments (G-8, G-16), query parameters (1.5, G-50), bodies (G-2, G-4, G-50).

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use thingport_core::explain::SOUGHT_BYTES_MAX;
use thingport_model::page::{PageLink, Sort};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::SignedIn;
use crate::body::{Arrived, take_in};
use crate::bounds::Turn;
use crate::dto::id::parse_id;
use crate::error::Refusal;
use crate::room::Sender;

/// Path segments, percent-decoded exactly once.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let path = Path::<T>::from_request_parts(parts, api).await;
        path.map(|Path(segments)| Self(segments))
            .map_err(|rejection| Refusal::bad_request(format!("the path is wrong: {rejection}")))
    }
}

/// Query parameters, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl FromRequestParts<Arc<Api>> for Params {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Refusal> {
        Self::of(parts.uri.query())
    }
}

impl Params {
    /// The parameters of a query text.
    pub(crate) fn of(query: Option<&str>) -> Result<Self, Refusal> {
        let uri = format!("/?{}", query.unwrap_or_default());
        let uri = uri.parse().map_err(|_| Refusal::bad_request("the query is malformed"))?;
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&uri);
        pairs
            .map(|Query(pairs)| Self(pairs))
            .map_err(|rejection| Refusal::bad_request(format!("the query is wrong: {rejection}")))
    }

    /// The parameter, if it was sent and is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the parameter was sent, empty or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)
            .ok_or_else(|| Refusal::bad_request(format!("the query parameter {name} is required")))
    }

    /// The parameter as a number.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let wrong = |text| Refusal::bad_request(format!("{name}={text} is not understood"));
        self.text(name).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// The parameter as a flag; `default` when absent.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        Ok(self.choice(name)?.unwrap_or(default))
    }

    /// The parameter as a flag, in any of the spellings that the contract's clients use: Python's write
    /// `True`, and the original also takes `yes`, `on` and `1`.
    pub(crate) fn choice(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.text(name).map(|text| flag_of(name, text)).transpose()
    }

    /// The parts of a comma list; the parameter may also be repeated. Empty parts are left out.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(key, _)| key == name);
        let parts = values.flat_map(|(_, value)| value.split(','));
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// A comma list of UUIDs.
    pub(crate) fn ids(&self, name: &str) -> Result<Vec<Uuid>, Refusal> {
        let parts = self.list(name);
        if parts.len() > IDS_MAX {
            return Err(Refusal::bad_request(format!("{name} lists more than {IDS_MAX} ids")));
        }
        parts.iter().map(|part| parse_id(part)).collect()
    }

    /// Keys: a comma list `keys`, or `key` repeated for keys that contain a comma (14.1).
    pub(crate) fn keys(&self) -> Vec<String> {
        let single = self.0.iter().filter(|(key, value)| key == "key" && !value.is_empty());
        let mut keys: Vec<_> = single.map(|(_, value)| value.clone()).collect();
        keys.extend(self.list("keys"));
        let mut seen = std::collections::HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
        keys
    }

    /// Which page (1.5). The range of the numbers and the name of the property are core's to judge.
    pub(crate) fn page(&self) -> Result<PageLink, Refusal> {
        let number = |name| -> Result<u32, Refusal> {
            self.required(name)?.parse().map_err(|_| {
                Refusal::bad_request(format!("{name} is not a whole number of the allowed range"))
            })
        };
        let text_search = self.text("textSearch");
        sought("textSearch", text_search.unwrap_or_default())?;
        Ok(PageLink {
            size: number("pageSize")?,
            page: number("page")?,
            text_search: text_search.map(str::to_owned),
            sort: self.sort()?,
        })
    }

    fn sort(&self) -> Result<Option<Sort>, Refusal> {
        let descending = match self.text("sortOrder") {
            None | Some("ASC") => false,
            Some("DESC") => true,
            Some(other) => {
                let text = format!("sortOrder is ASC or DESC, not {other}");
                return Err(Refusal::bad_request(text));
            }
        };
        let property = self.text("sortProperty");
        Ok(property.map(|property| Sort { property: property.to_owned(), descending }))
    }
}

/// Refuses a text that is looked for and too long to be compared with many others. The text is not
/// repeated: it may be a token.
pub(crate) fn sought(name: &str, text: &str) -> Result<(), Refusal> {
    if text.len() <= SOUGHT_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::bad_request(format!("{name} is longer than {SOUGHT_BYTES_MAX} bytes")))
}

/// A flag in a query or a path, in any of the spellings that the contract's clients use.
pub(crate) fn flag_of(name: &str, text: &str) -> Result<bool, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(Refusal::bad_request(format!("{name} is true or false, not {text}"))),
    }
}

/// An answer that is JSON text already.
pub(crate) fn json_text(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// A JSON body, whatever content type was sent.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let body = RawBody::from_request(request, api).await?;
        body.parse().map(Self).map_err(IntoResponse::into_response)
    }
}

/// A JSON body that may be absent.
pub(crate) struct OptionalBody<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for OptionalBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let body = RawBody::from_request(request, api).await?;
        if matches!(body.bytes().trim_ascii(), b"" | b"null") {
            return Ok(Self(None));
        }
        body.parse().map(|body| Self(Some(body))).map_err(IntoResponse::into_response)
    }
}

/// A body as bytes, with its share of the room for bodies.
pub(crate) struct RawBody(Arrived);

impl RawBody {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Every typed body is an object; a list in its place would be read member by member.
    fn parse<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        match self.bytes().iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => {}
            Some(_) => return Err(Refusal::bad_request("the body must be a JSON object")),
            None => return Err(Refusal::bad_request("the body is empty; a JSON object is due")),
        }
        serde_json::from_slice(self.bytes())
            .map_err(|error| Refusal::bad_request(format!("the body is not what is due: {error}")))
    }
}

impl FromRequest<Arc<Api>> for RawBody {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let has_signed_in = parts.extensions.get::<SignedIn>().is_some();
        let sender = if has_signed_in { Sender::Person } else { Sender::Stranger };
        let turn = parts.extensions.get::<Turn>();
        // Whoever only waits for bytes must not keep others from being answered.
        turn.inspect(|turn| turn.leave());
        let arrived = take_in(api, sender, &parts.headers, body).await?;
        if let Some(turn) = turn {
            turn.take_again(api).await;
        }
        Ok(Self(arrived))
    }
}

/// Ids that one request may list.
const IDS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    fn params(query: &str) -> Params {
        Params::of(Some(query)).expect("well formed")
    }

    #[test]
    fn a_page_needs_both_numbers_and_a_known_order() {
        let rows = [
            ("pageSize=10&page=0", true),
            ("pageSize=10&page=0&sortOrder=DESC", true),
            ("pageSize=10&page=0&sortProperty=name&sortOrder=ASC", true),
            ("pageSize=10&page=0&sortProperty=&sortOrder=", true),
            ("", false),
            ("pageSize=10", false),
            ("page=0", false),
            ("pageSize=-1&page=0", false),
            ("pageSize=10&page=-1", false),
            ("pageSize=ten&page=0", false),
            ("pageSize=10&page=0&sortProperty=name&sortOrder=UP", false),
        ];
        for (query, fine) in rows {
            let answer = params(query).page();
            assert_eq!(answer.is_ok(), fine, "{query}");
            if let Err(refusal) = answer {
                assert_eq!((refusal.status().as_u16(), refusal.code()), (400, 31), "{query}");
            }
        }
    }

    #[test]
    fn order_is_ascending_unless_told_and_needs_a_property() {
        let sort = |query: &str| params(query).page().expect("a page").sort;
        let name = |descending| Some(Sort { property: "name".into(), descending });
        assert_eq!(sort("pageSize=1&page=0&sortProperty=name"), name(false));
        assert_eq!(sort("pageSize=1&page=0&sortProperty=name&sortOrder=DESC"), name(true));
        assert_eq!(sort("pageSize=1&page=0&sortOrder=DESC"), None);
    }

    #[test]
    fn a_typed_body_is_an_object() {
        #[derive(Debug, serde::Deserialize)]
        struct Named {
            name: String,
        }
        let parse = |text: &'static str| {
            RawBody(Arrived::of(Bytes::from_static(text.as_bytes()))).parse::<Named>()
        };
        assert_eq!(parse(" {\"name\":\"a\"}").expect("an object").name, "a");
        for wrong in ["", " ", "[]", "[\"a\"]", "\"a\"", "5", "null", "{", "{}", "{\"name\":1}"] {
            let refusal = parse(wrong).expect_err(wrong);
            assert_eq!((refusal.status().as_u16(), refusal.code()), (400, 31), "{wrong:?}");
        }
    }

    #[test]
    fn a_flag_is_understood_as_clients_write_it() {
        let rows = [
            ("true", Some(true)),
            ("True", Some(true)),
            ("1", Some(true)),
            ("yes", Some(true)),
            ("ON", Some(true)),
            ("false", Some(false)),
            ("False", Some(false)),
            ("0", Some(false)),
            ("no", Some(false)),
            ("off", Some(false)),
            ("", None),
        ];
        for (text, expected) in rows {
            let params = params(&format!("flag={text}"));
            assert_eq!(params.choice("flag").expect("understood"), expected, "{text:?}");
        }
        assert!(params("").flag("flag", true).expect("absent"));
        for text in ["2", "wahr", "truee"] {
            let refusal = params(&format!("flag={text}")).flag("flag", true).expect_err(text);
            assert_eq!((refusal.status().as_u16(), refusal.code()), (400, 31), "{text}");
        }
    }

    #[test]
    fn lists_are_decoded_then_split() {
        assert_eq!(params("keys=a%2Cb&keys=c").keys(), ["a", "b", "c"]);
        assert_eq!(params("key=a%2Cb&key=c+d&key=c%20d").keys(), ["a,b", "c d"]);
        assert_eq!(params("keys=,a,,a").keys(), ["a"]);
        assert!(params("ids=x").ids("ids").is_err());
        assert_eq!(params("n=a%2520b").text("n"), Some("a%20b"));
        assert_eq!(params("accessToken=").text("accessToken"), None);
        assert!(params("accessToken=").has("accessToken"));
    }
}
