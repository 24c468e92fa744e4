//! The OpenAPI 3.1 document, made from the route table in our own words (REST API section 19).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::info::InfoBuilder;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, HttpMethod, OpenApiBuilder, PathItem, PathsBuilder, RefOr, Required, Schema,
};

use crate::api::Api;
use crate::route::{Route, Schemas, Shape, Who};

pub(crate) fn routes() -> Vec<Route> {
    let document =
        |path| Route::get(path, document).who(Who::Public).about("This document.").answer_any();
    vec![document("/v3/api-docs"), document("/v3/api-docs/thingsboard")]
}

async fn document(State(api): State<Arc<Api>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.document().await).into_response()
}

/// The document for these routes, as JSON.
pub(crate) fn describe(routes: &[Route], version: &str) -> String {
    let mut schemas = Schemas::new();
    let mut paths = PathsBuilder::new();
    for route in routes.iter().filter(|route| is_api(route.path)) {
        let item = PathItem::new(method(&route.method), operation(route, &mut schemas));
        paths = paths.path(route.path, item);
    }
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("Thingport").version(version).description(Some(ABOUT)))
        .paths(paths)
        .components(Some(components(schemas)))
        .build()
        .to_json()
        // The document is built from texts and schemas only, which always serialize.
        .unwrap_or_default()
}

fn operation(route: &Route, schemas: &mut Schemas) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .tag(tag(route.path))
        .summary(Some(route.about))
        .operation_id(Some(operation_id(route)))
        .description(Some(who(route.who)))
        .request_body(request_body(route, schemas))
        .response("200", answer(route, schemas));
    for name in path_parameters(route.path) {
        operation = operation.parameter(text_parameter(name, ParameterIn::Path, true, ""));
    }
    for query in &route.query {
        let parameter = text_parameter(query.name, ParameterIn::Query, query.required, query.about);
        operation = operation.parameter(parameter);
    }
    if matches!(route.who, Who::People(_)) {
        let token = SecurityRequirement::new("token", Vec::<String>::new());
        let key = SecurityRequirement::new("apiKey", Vec::<String>::new());
        operation = operation.security(token).security(key);
    }
    operation
}

fn request_body(
    route: &Route,
    schemas: &mut Schemas,
) -> Option<utoipa::openapi::request_body::RequestBody> {
    let (kind, schema) = match route.body {
        Shape::Json(schema) => ("application/json", schema(schemas)),
        Shape::File => {
            let form = ObjectBuilder::new().property("file", file()).required("file");
            ("multipart/form-data", form.into())
        }
        Shape::Empty | Shape::Text => return None,
    };
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let body = RequestBodyBuilder::new().content(kind, content);
    Some(body.required(Some(Required::True)).build())
}

fn answer(route: &Route, schemas: &mut Schemas) -> utoipa::openapi::Response {
    let answer = ResponseBuilder::new().description("Done.");
    match route.answer {
        Shape::Empty => answer.build(),
        Shape::Text => {
            let text = ObjectBuilder::new().schema_type(Type::String);
            let content = ContentBuilder::new().schema(Some(text)).build();
            answer.content("text/plain", content).build()
        }
        Shape::File => {
            let content = ContentBuilder::new().schema(Some(file())).build();
            answer.content("application/octet-stream", content).build()
        }
        Shape::Json(schema) => {
            let content = ContentBuilder::new().schema(Some(schema(schemas))).build();
            answer.content("application/json", content).build()
        }
    }
}

fn file() -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format))
}

fn text_parameter(name: &str, place: ParameterIn, required: bool, about: &str) -> ParameterBuilder {
    let required = if required { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description((!about.is_empty()).then_some(about))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
}

fn components(schemas: Schemas) -> Components {
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let key = ApiKey::Header(ApiKeyValue::with_description("X-Authorization", KEY_FORM));
    ComponentsBuilder::new()
        .schemas_from_iter::<Vec<(String, RefOr<Schema>)>, RefOr<Schema>, String>(schemas)
        .security_scheme("token", SecurityScheme::Http(token))
        .security_scheme("apiKey", SecurityScheme::ApiKey(key))
        .build()
}

/// Pages and their parts are for browsers: whoever calls the API has no use for them.
fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/v3/")
}

/// Which chapter a path belongs to: its first word behind `/api`.
fn tag(path: &str) -> &str {
    let inner = path.strip_prefix("/api/").unwrap_or_else(|| path.trim_start_matches('/'));
    let inner = inner.strip_prefix("plugins/").unwrap_or(inner);
    inner.split('/').next().unwrap_or(inner)
}

/// `getDeviceInfoByDeviceId` for `GET /api/device/info/{deviceId}`: unique, since method and path are.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_ascii_lowercase();
    let path = route.path.strip_prefix("/api/").unwrap_or(route.path);
    for word in path.split(['/', '-', '.']).filter(|word| !word.is_empty()) {
        let (lead, word) = match word.strip_prefix('{') {
            Some(name) => ("By", name.trim_end_matches('}')),
            None => ("", word),
        };
        id.push_str(lead);
        let mut letters = word.chars();
        id.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        id.push_str(letters.as_str());
    }
    id
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn who(who: Who) -> String {
    let Who::People(roles) = who else { return "No credential is needed.".to_owned() };
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    format!("For {}.", names.join(", "))
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

const KEY_FORM: &str = "An API key of a user, as: ApiKey VALUE";
const ABOUT: &str = "The part of ThingsBoard's REST API that Thingport serves, with additions of its \
    own under /api/thingport. Log in with POST /api/auth/login and send the token as \
    X-Authorization: Bearer TOKEN.";
