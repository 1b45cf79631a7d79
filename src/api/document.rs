//! The API's description: what the handlers say of themselves, completed with what holds for all of them.

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use super::{Document, idempotency};

/// A body for each route that takes one, by `method path`: what a caller would send.
const EXAMPLES: &str = include_str!("examples.json");

/// What fields and parameters may be, as far as their types do not say it: merged into `schemas` by name, into `bodies` and
/// `operations` by `method path`, into `parameters` by name or by `method path name`.
const LIMITS: &str = include_str!("limits.json");

/// The description as it is served.
pub fn document() -> Value {
    let mut document = serde_json::to_value(described()).unwrap_or_default();
    let mut limits: Value = serde_json::from_str(LIMITS).unwrap_or_default();
    merge(&mut document["components"]["schemas"], limits["schemas"].take());
    limits["all"] = document["components"]["schemas"].clone();
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let here = format!("{method} {path}");
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default().to_owned();
                for key in [format!("{here} {name}"), name] {
                    if let Some(limit) = limits["parameters"].get(key) {
                        merge(&mut parameter["schema"], limit.clone());
                    }
                }
            }
            if let Some(limit) = limits["bodies"].get(&here) {
                let schema = &mut operation["requestBody"]["content"]["application/json"]["schema"];
                *schema = json!({ "allOf": [schema.take(), limit] });
            }
            if let Some(more) = limits["operations"].get(&here) {
                merge(operation, more.clone());
            }
            if let Some(body) = operation.get_mut("requestBody") {
                let schema = &body["content"]["application/json"]["schema"];
                let needed = schema.is_null() || is_needed(&limits["all"], schema);
                body["required"] = needed.into();
            }
        }
    }
    document
}

/// Whether `{}` is not enough.
fn is_needed(schemas: &Value, schema: &Value) -> bool {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    let all = schema["allOf"].as_array().into_iter().flatten();
    let any = schema["anyOf"].as_array();
    name.is_some_and(|name| is_needed(schemas, &schemas[name]))
        || schema["required"].as_array().is_some_and(|required| !required.is_empty())
        || schema["minProperties"].as_u64().is_some_and(|least| least > 0)
        || all.into_iter().any(|schema| is_needed(schemas, schema))
        || any.is_some_and(|any| any.iter().all(|schema| is_needed(schemas, schema)))
}

/// RFC 7396: null takes away, objects are merged, everything else replaces.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                match value {
                    Value::Null => drop(target.remove(&key)),
                    value => merge(target.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

/// What each route takes and gives, how to sign in, and the problem every one may answer.
fn described() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key of a tenant, or of the platform: that one may name the tenant it acts for in Switchboard-Tenant. Where SUPABASE_URL is set, an access token of that project too."))
        .build();
    let words = "What `POST /api/v1/sign-in` sets. Over plain http on loopback it is called `switchboard`.";
    let cookie = ApiKeyValue::with_description("__Host-switchboard", words);
    let components = document.components.get_or_insert_default();
    let words = "What `POST /api/v1/component-tokens` gives, for pages of the site it names alone.";
    let component = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(words)).build();
    components.security_schemes.extend([
        ("componentToken".to_owned(), SecurityScheme::Http(component).into()),
        ("apiKey".to_owned(), SecurityScheme::Http(scheme).into()),
        ("signIn".to_owned(), SecurityScheme::ApiKey(ApiKey::Cookie(cookie)).into()),
    ]);
    let examples: serde_json::Map<String, Value> = serde_json::from_str(EXAMPLES).unwrap_or_default();
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
                complete(operation, examples.get(&format!("{method} {path}")));
            }
        }
    }
    document
}

fn complete(operation: &mut Operation, example: Option<&Value>) {
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
