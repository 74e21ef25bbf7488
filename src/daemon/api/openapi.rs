//! The document that describes the API (`OpenAPI` 3.1), made of what the handlers declare.

use axum::Json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Response, ResponseBuilder,
    SecurityRequirement,
};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::problem::Problem;
use super::{Api, feeds, router};
use crate::daemon::{health, metrics};

/// What may go wrong with every request.
const COMMON: [(&str, &str); 5] = [
    ("400", "`invalid_request`: something in it can't be read."),
    ("401", "`unauthorized`: it takes a token."),
    (
        "403",
        "`forbidden`: it takes a token of another scope. `forbidden_host`, `forbidden_origin`: without tokens, another name of this host or another site's page.",
    ),
    ("429", "`rate_limited`: too many requests a second."),
    (
        "503",
        "`busy`, `queue_full`, `stopping`, `store_unavailable`: ask again after `Retry-After` seconds.",
    ),
];

/// What monitors ask for. Health takes no token.
#[derive(utoipa::OpenApi)]
#[openapi(paths(health::healthz, health::readyz, metrics::metrics))]
struct Probes;

/// Paths that take no token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// A hash in any form.
pub(super) struct AnyHash;

impl PartialSchema for AnyHash {
    fn schema() -> RefOr<Schema> {
        let pattern = "^([0-9A-Fa-f]{40}|[A-Za-z2-7]{32}|[0-9A-Fa-f]{64}|1220[0-9A-Fa-f]{64})$";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(pattern))
            .examples(["c12fe1c06bba254a9dc9f519b335aa7c1367a88a"])
            .into()
    }
}

impl ToSchema for AnyHash {}

/// Bytes.
pub(super) struct Binary;

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("application/octet-stream")
            .into()
    }
}

impl ToSchema for Binary {}

/// The document as it is served.
pub(super) async fn serve() -> Json<OpenApi> {
    Json(document())
}

/// The document: every path, what it takes, and what it answers.
#[must_use]
pub fn document() -> OpenApi {
    let about = InfoBuilder::new()
        .title("metafetch")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "BitTorrent infohashes become verified metadata. What goes wrong is told as problem details \
             (RFC 9457), whose `reason` is the outcome's name.",
        ));
    let base: OpenApiRouter<Api> =
        OpenApiRouter::with_openapi(OpenApiBuilder::new().info(about).build());
    let mut document = base
        .merge(router::for_readers())
        .merge(router::for_admins())
        .into_openapi();
    document.merge(Probes::openapi());
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of the configuration, where it has any."))
        .build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let apikey = ApiKeyValue::with_description("apikey", "The same token, for readers of feeds.");
    components.add_security_scheme("apikey", SecurityScheme::ApiKey(ApiKey::Query(apikey)));
    components
        .schemas
        .insert("Problem".to_owned(), Problem::schema());
    for (path, item) in &mut document.paths.paths {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.delete,
            &mut item.put,
        ];
        for operation in operations.into_iter().flatten() {
            complete(operation, path);
        }
    }
    document
}

/// Adds what holds for every operation: tokens, and what may go wrong.
fn complete(operation: &mut Operation, path: &str) {
    let scopes: [&str; 0] = [];
    let is_open = OPEN.contains(&path);
    let mut security = Vec::new();
    if !is_open {
        security.push(SecurityRequirement::new("token", scopes));
    }
    if feeds::takes_apikey(path) {
        security.push(SecurityRequirement::new("apikey", scopes));
    }
    operation.security = Some(security);
    for (status, description) in COMMON {
        if is_open && (status == "401" || status == "403") {
            continue;
        }
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| problem(description).into());
    }
    if operation.request_body.is_some() {
        for (status, description) in [
            ("408", "`body_timeout`: the body did not come in time."),
            ("413", "`body_too_large`, `batch_too_large`."),
            (
                "415",
                "`unsupported_media_type`: the body is of another type.",
            ),
        ] {
            operation
                .responses
                .responses
                .insert(status.to_owned(), problem(description).into());
        }
    }
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build()
}
