//! The API's description: what the handlers say of themselves, completed with what holds for all of them.

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Required, Response, ResponseBuilder, Schema};

use super::{Document, idempotency};

/// A body for each route that takes one, by `method path`: what a caller would send.
const EXAMPLES: &str = include_str!("examples.json");

/// What each route takes and gives, how to sign in, and the problem every one may answer.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key of a tenant, or of the platform: that one may name the tenant it acts for in Switchboard-Tenant. Where SUPABASE_URL is set, an access token of that project too."))
        .build();
    let words = "What `POST /api/v1/sign-in` sets. Over plain http on loopback it is called `switchboard`.";
    let cookie = ApiKeyValue::with_description("__Host-switchboard", words);
    let components = document.components.get_or_insert_default();
    components.security_schemes.extend([
        ("apiKey".to_owned(), SecurityScheme::Http(scheme).into()),
        ("signIn".to_owned(), SecurityScheme::ApiKey(ApiKey::Cookie(cookie)).into()),
    ]);
    // Fields that must be there make a body that must be there.
    let needed = |name: &str| match components.schemas.get(name) {
        Some(RefOr::T(Schema::Object(object))) => !object.required.is_empty(),
        _ => true,
    };
    let examples: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(EXAMPLES).unwrap_or_default();
    for (path, item) in &mut document.paths.paths {
        if let Some(post) = &mut item.post {
            post.parameters.get_or_insert_default().push(idempotency::parameter().into());
        }
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                complete(operation, examples.get(&format!("{method} {path}")), needed);
            }
        }
    }
    document
}

fn complete(operation: &mut Operation, example: Option<&serde_json::Value>, needed: impl Fn(&str) -> bool) {
    // Handlers are called alike in every file; callers' generators want each name once.
    let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    operation.operation_id = operation.operation_id.take().map(|name| format!("{tag}_{name}"));
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = words(status).to_owned();
        }
    }
    operation.responses.responses.entry("default".to_owned()).or_insert_with(problem);
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for content in body.content.values_mut() {
            let RefOr::T(content) = content else { continue };
            content.example = example.cloned();
            if let Some(RefOr::Ref(schema)) = &content.schema
                && !needed(schema.ref_location.rsplit('/').next().unwrap_or_default())
            {
                body.required = Some(Required::False);
            }
        }
    }
}

fn words(status: &str) -> &'static str {
    match status {
        "200" => "Done, or found",
        "201" => "Made",
        "202" => "Taken; it is done soon",
        "204" => "Done; there is nothing to say",
        "503" => "Not now",
        _ => "See the schema",
    }
}

/// Any failure, as every route may answer it.
fn problem() -> RefOr<Response> {
    let mut content = Content::new(Some(Ref::from_schema_name("Problem")));
    content.example = serde_json::from_str(PROBLEM).ok();
    RefOr::T(
        ResponseBuilder::new().description("A failure").content("application/problem+json", content).build(),
    )
}

const PROBLEM: &str = r#"{
    "type": "urn:switchboard:problem:invalid", "title": "Some values are not as expected", "status": 400,
    "detail": "phoneNumberId: must be 1 to 32 digits", "code": "invalid",
    "request_id": "0b8d3c1e-7f0a-4d6e-9c55-2f1d6a7e8b90", "success": false,
    "error": "Some values are not as expected", "message": "phoneNumberId: must be 1 to 32 digits",
    "errors": [{"field": "phoneNumberId", "message": "must be 1 to 32 digits"}]
}"#;
