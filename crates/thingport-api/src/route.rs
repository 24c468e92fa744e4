//! One route: path, method, who may pass, what it is for. Router, tests and the OpenAPI document are
//! all made from the same list of these, so none of them can know a route that another does not.

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use std::sync::Arc;
use thingport_model::user::Authority;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Ref, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::Api;

/// A row of the route table.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) who: Who,
    /// What it is for, one sentence.
    pub(crate) about: &'static str,
    pub(crate) query: Vec<Query>,
    pub(crate) body: Shape,
    pub(crate) answer: Shape,
    pub(crate) run: MethodRouter<Arc<Api>>,
    /// Whether an answer may take as long as the request says, so that it has a bound of its own (G-6).
    pub(crate) waits: bool,
}

/// Who may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Everybody: no credential is looked at.
    Public,
    /// Signed-in people of these roles.
    People(&'static [Authority]),
}

/// A query parameter, for the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) about: &'static str,
}

/// The form of a body, for the document.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Empty,
    Text,
    /// Bytes: as a body one part named `file`.
    File,
    Json(fn(&mut Schemas) -> RefOr<Schema>),
}

/// Named schemas collected while shapes are described.
pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

/// Only system administrators.
pub(crate) const S: Who = Who::People(&[Authority::SysAdmin]);
/// Only tenant administrators.
pub(crate) const T: Who = Who::People(&[Authority::TenantAdmin]);
/// System and tenant administrators.
pub(crate) const S_T: Who = Who::People(&[Authority::SysAdmin, Authority::TenantAdmin]);
/// Only customer users.
pub(crate) const C: Who = Who::People(&[Authority::CustomerUser]);
/// Tenant administrators and customer users: the default of the contract.
pub(crate) const T_C: Who = Who::People(&[Authority::TenantAdmin, Authority::CustomerUser]);
/// Everybody who signed in.
pub(crate) const S_T_C: Who = Who::People(&Authority::ALL);

impl Route {
    pub(crate) fn get<H: Handler<A, Arc<Api>>, A: 'static>(path: &'static str, run: H) -> Self {
        Self::new(Method::GET, path, on(MethodFilter::GET, run))
    }

    pub(crate) fn post<H: Handler<A, Arc<Api>>, A: 'static>(path: &'static str, run: H) -> Self {
        Self::new(Method::POST, path, on(MethodFilter::POST, run))
    }

    pub(crate) fn put<H: Handler<A, Arc<Api>>, A: 'static>(path: &'static str, run: H) -> Self {
        Self::new(Method::PUT, path, on(MethodFilter::PUT, run))
    }

    pub(crate) fn delete<H: Handler<A, Arc<Api>>, A: 'static>(path: &'static str, run: H) -> Self {
        Self::new(Method::DELETE, path, on(MethodFilter::DELETE, run))
    }

    /// Who may pass; [`T_C`] unless told.
    pub(crate) const fn who(mut self, who: Who) -> Self {
        self.who = who;
        self
    }

    /// An answer may take as long as the request says.
    pub(crate) const fn waits(mut self) -> Self {
        self.waits = true;
        self
    }

    pub(crate) const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    pub(crate) fn query(mut self, query: &[Query]) -> Self {
        self.query.extend_from_slice(query);
        self
    }

    pub(crate) fn body<B: ToSchema>(mut self) -> Self {
        self.body = Shape::Json(one::<B>);
        self
    }

    /// The body is any JSON object.
    pub(crate) fn any_body(mut self) -> Self {
        self.body = Shape::Json(any);
        self
    }

    pub(crate) fn answer<B: ToSchema>(mut self) -> Self {
        self.answer = Shape::Json(one::<B>);
        self
    }

    pub(crate) fn answer_list<B: ToSchema>(mut self) -> Self {
        self.answer = Shape::Json(list::<B>);
        self
    }

    pub(crate) fn answer_page<B: ToSchema>(mut self) -> Self {
        self.answer = Shape::Json(page::<B>);
        self
    }

    pub(crate) fn answer_names(mut self) -> Self {
        self.answer = Shape::Json(names);
        self
    }

    /// The answer is any JSON.
    pub(crate) fn answer_any(mut self) -> Self {
        self.answer = Shape::Json(any);
        self
    }

    /// The body is a file.
    pub(crate) const fn file_body(mut self) -> Self {
        self.body = Shape::File;
        self
    }

    /// The answer is a file.
    pub(crate) const fn answer_file(mut self) -> Self {
        self.answer = Shape::File;
        self
    }

    /// Puts a bound of its own around the route.
    pub(crate) fn layer(mut self, layer: DefaultBodyLimit) -> Self {
        self.run = self.run.layer(layer);
        self
    }

    pub(crate) const fn answer_text(mut self) -> Self {
        self.answer = Shape::Text;
        self
    }

    const fn new(method: Method, path: &'static str, run: MethodRouter<Arc<Api>>) -> Self {
        Self {
            method,
            path,
            who: T_C,
            about: "",
            query: Vec::new(),
            body: Shape::Empty,
            answer: Shape::Empty,
            run,
            waits: false,
        }
    }
}

/// A required query parameter.
pub(crate) const fn required(name: &'static str, about: &'static str) -> Query {
    Query { name, required: true, about }
}

/// A query parameter that may be left out.
pub(crate) const fn optional(name: &'static str, about: &'static str) -> Query {
    Query { name, required: false, about }
}

pub(crate) const PAGE_SIZE: Query = required("pageSize", "Rows per page, 1 to 10000.");
pub(crate) const PAGE: Query = required("page", "Page number from 0.");
pub(crate) const SEARCH: Query =
    optional("textSearch", "Only rows whose name-like columns contain this, in any letter case.");
pub(crate) const SORT: Query = optional("sortProperty", "Property to sort by; the id if absent.");
pub(crate) const ORDER: Query = optional("sortOrder", "ASC or DESC; ASC if absent.");
/// The parameters of every page.
pub(crate) const PAGED: &[Query] = &[PAGE_SIZE, PAGE, SEARCH, SORT, ORDER];

/// A reference to `B`, whose schema is collected with all it needs.
fn one<B: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    B::schemas(schemas);
    schemas.push((B::name().into_owned(), B::schema()));
    Ref::from_schema_name(B::name()).into()
}

fn list<B: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    ArrayBuilder::new().items(one::<B>(schemas)).into()
}

fn page<B: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    ObjectBuilder::new()
        .property("data", list::<B>(schemas))
        .property("totalPages", i64::schema())
        .property("totalElements", i64::schema())
        .property("hasNext", bool::schema())
        .required("data")
        .required("totalPages")
        .required("totalElements")
        .required("hasNext")
        .into()
}

fn names(_: &mut Schemas) -> RefOr<Schema> {
    ArrayBuilder::new().items(String::schema()).into()
}

fn any(_: &mut Schemas) -> RefOr<Schema> {
    utoipa::openapi::schema::empty().into()
}
