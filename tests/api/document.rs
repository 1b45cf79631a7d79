//! The API's description: complete, true to what is served, and readable by people without anybody else's help.

use serde_json::Value;
use switchboard::api::ROUTES;
use switchboard::auth::Role;

use super::harness::{ADMIN, Api};
use super::matrix;

/// Every operation of the description: method, path, itself.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
        .collect()
}

#[actix_web::test]
async fn it_is_complete() {
    let api = Api::start().await;
    let (status, document) = api.call("get", "/openapi.json", "", Value::Null).await;
    assert_eq!((status, &document["openapi"]), (200, &"3.1.0".into()));
    let mut described = Vec::new();
    let mut names = Vec::new();
    for (method, path, operation) in operations(&document) {
        let here = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|words| !words.is_empty()), "{here} says nothing");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            assert!(!response["description"].as_str().unwrap_or_default().is_empty(), "{here} {status}");
            for (kind, content) in response["content"].as_object().into_iter().flatten() {
                assert!(content["schema"].is_object(), "{here} {status} {kind}");
            }
        }
        let problem = &responses["default"]["content"]["application/problem+json"];
        assert_eq!(
            problem["schema"]["$ref"], "#/components/schemas/Problem",
            "{here} says nothing of problems"
        );
        let success = responses.iter().find(|(status, _)| status.starts_with('2'));
        assert!(
            success.is_some_and(|(_, response)| response["content"].is_object()),
            "{here} has no success"
        );
        // What is in the path is among the parameters.
        let named = path.matches('{').count();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        assert_eq!(parameters.filter(|parameter| parameter["in"] == "path").count(), named, "{here}");
        names.push(operation["operationId"].as_str().unwrap().to_owned());
        described.push((method.to_owned(), path.to_owned()));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), described.len(), "every operation has a name of its own");
    let mut served: Vec<(String, String)> =
        ROUTES.iter().map(|(method, path)| (method.to_string(), path.replace(":.+}", "}"))).collect();
    described.sort();
    served.sort();
    assert_eq!(described, served);
    for (scheme, kind) in [("apiKey", "http"), ("signIn", "apiKey")] {
        assert_eq!(document["components"]["securitySchemes"][scheme]["type"], kind);
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1) {
        let name = name.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is missing");
    }
}

/// Limits that name what is not there would limit nothing.
#[actix_web::test]
async fn its_limits_are_those_of_something() {
    let api = Api::start().await;
    let (_, document) = api.call("get", "/openapi.json", "", Value::Null).await;
    let limits: Value = serde_json::from_str(include_str!("../../src/api/limits.json")).unwrap();
    let added = ["File"];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for schema in keys(&limits["schemas"]).into_iter().filter(|name| !added.contains(&name.as_str())) {
        let described = &document["components"]["schemas"][&schema];
        for field in keys(&limits["schemas"][&schema]["properties"]) {
            let field = &described["properties"][&field];
            let known = ["description", "type", "$ref"].iter().any(|word| !field[word].is_null());
            assert!(known, "{schema} {field}");
        }
    }
    let all = operations(&document);
    let body = |here: &str| {
        all.iter().any(|(method, path, o)| {
            format!("{method} {path}") == here
                && o["requestBody"]["content"]["application/json"]["schema"]["allOf"].is_array()
        })
    };
    for here in keys(&limits["bodies"]) {
        assert!(body(&here), "{here}");
    }
    let parameters: Vec<String> = all
        .iter()
        .flat_map(|(method, path, operation)| {
            let all = operation["parameters"].as_array().cloned().unwrap_or_default();
            let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
            let named = move |one: Value| [name(&one), format!("{method} {path} {}", name(&one))];
            all.into_iter().flat_map(named).collect::<Vec<_>>()
        })
        .collect();
    for name in keys(&limits["parameters"]) {
        assert!(parameters.contains(&name), "{name}");
    }
}

/// Whoever copies an example gets something done, or is told what is missing; never that it is wrong.
#[actix_web::test]
async fn its_examples_are_taken() {
    let api = Api::start().await;
    let things = matrix::furnish(&api).await;
    let owner = api.key("a", Role::Owner).await;
    let (_, document) = api.call("get", "/openapi.json", "", Value::Null).await;
    let mut tried = 0;
    for (method, path, operation) in operations(&document) {
        let Some(content) = operation["requestBody"]["content"].get("application/json") else { continue };
        let example = &content["example"];
        assert!(example.is_object(), "{method} {path}: add an example to src/api/examples.json");
        let key = if path.contains("/tenants") { ADMIN } else { &owner };
        let named = operation["parameters"].to_string().contains("\"chatbotId\"");
        let query = if named { format!("?chatbotId=bot-{}", matrix::MARK) } else { String::new() };
        let address = matrix::address(path, &things) + &query;
        let (status, answer) = api.call(method, &address, key, example.clone()).await;
        assert!(
            ![400, 404, 405, 413, 415].contains(&status) && status < 500,
            "{method} {path}: {status} {answer}"
        );
        tried += 1;
    }
    assert!(tried > 20);
}

#[actix_web::test]
async fn a_query_that_cannot_be_read_is_a_problem_like_every_other() {
    let api = Api::start().await;
    let key = api.key("a", Role::Owner).await;
    for list in ["users", "audit", "chatbots", "conversations", "deliveries", "events"] {
        let path = format!("/api/v1/{list}?limit=1&limit=2");
        api.wrong_fields("get", &path, &key, Value::Null, &["limit"]).await;
    }
}

#[actix_web::test]
async fn its_page_needs_nobody_else() {
    let api = Api::start().await;
    let page = api.request("get", "/docs", "").send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let page = page.text().await.unwrap();
    assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("style="), "{page}");
    let mut files = 0;
    for (file, kind) in page.split('"').filter(|part| part.starts_with("/docs/")).map(|file| {
        (
            file,
            if file.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" },
        )
    }) {
        let answer = api.request("get", file, "").send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &kind.parse().unwrap())
        );
        let text = answer.text().await.unwrap();
        assert!(
            !text.contains("innerHTML") && !text.contains("https://") && !text.contains("@import"),
            "{file}"
        );
        files += 1;
    }
    assert_eq!(files, 2);
}
