//! Tests of [`super`], against answers in Graph's shapes.

use super::super::client::tests::{answer, credentials, serve};
use super::*;

#[tokio::test]
async fn reads_a_number_with_its_health() {
    let body = json!({"id": "106", "display_phone_number": "+1 555-078-3881", "verified_name": "Jasper",
        "quality_rating": "GREEN", "code_verification_status": "VERIFIED", "name_status": "APPROVED",
        "status": "CONNECTED", "whatsapp_business_manager_messaging_limit": "TIER_1K",
        "throughput": {"level": "STANDARD"},
        "health_status": {"can_send_message": "LIMITED", "entities": [
            {"entity_type": "PHONE_NUMBER", "id": "106", "can_send_message": "AVAILABLE"},
            {"entity_type": "WABA", "id": 102, "can_send_message": "LIMITED", "errors": [
                {"error_code": 141006, "error_description": "No payment method.", "possible_solution": "Add one."}]},
            {"broken": true}]},
        "webhook_configuration": {"application": "https://a.example/webhook", "phone_number": ""}});
    let (client, server) = serve(vec![answer("200 OK", &body.to_string())]);
    let number = client.phone_number("106", &credentials()).await.unwrap();
    assert_eq!(number.status.as_deref(), Some("CONNECTED"));
    assert_eq!(number.waba_id(), Some("102"));
    assert_eq!(number.can_send_message.as_deref(), Some("LIMITED"));
    assert_eq!(number.entities.len(), 2);
    assert_eq!(number.entities[1].problems, ["No payment method. Add one."]);
    assert_eq!(
        number.webhooks,
        WebhookConfiguration { application: Some("https://a.example/webhook".into()), ..Default::default() }
    );
    assert_eq!(number.throughput.as_deref(), Some("STANDARD"));
    let request = server.join().unwrap().remove(0);
    assert!(request.starts_with("GET /v26.0/106?fields=id%2Cdisplay_phone_number%2C"), "{request}");
    assert!(request.contains("health_status"));
}

#[tokio::test]
async fn follows_cursors_to_a_bounded_end() {
    let page = |id: usize| {
        let next = "https://elsewhere.example/steal";
        answer("200 OK", &json!({"data": [{"id": id.to_string()}], "paging": {"cursors": {"after": format!("c{id}")}, "next": next}}).to_string())
    };
    let (client, server) = serve((0..MAX_PAGES).map(page).collect());
    let ids = client.waba_phone_numbers("102", &credentials()).await.unwrap();
    assert_eq!(ids.len(), MAX_PAGES);
    let requests = server.join().unwrap();
    assert!(!requests[0].contains("after="));
    assert!(requests[1].contains("&after=c0&"), "{}", requests[1]);

    let last = json!({"data": [{"id": "1"}, {"id": 2}], "paging": {"cursors": {"after": "x"}}});
    let (client, server) = serve(vec![answer("200 OK", &last.to_string())]);
    assert_eq!(client.waba_phone_numbers("102", &credentials()).await.unwrap(), ["1", "2"]);
    server.join().unwrap();
}

#[tokio::test]
async fn subscribes_with_or_without_an_override() {
    let ok = || answer("200 OK", r#"{"success":true}"#);
    let (client, server) = serve(vec![ok(), ok()]);
    let token = SecretString::from("verify-me-please");
    let callback = Some(("https://us.example/webhook", &token));
    client.subscribe("102", &credentials(), callback).await.unwrap();
    client.subscribe("102", &credentials(), None).await.unwrap();
    let requests = server.join().unwrap();
    assert!(requests[0].starts_with("POST /v26.0/102/subscribed_apps?"));
    let body: Value = serde_json::from_str(requests[0].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        body,
        json!({"override_callback_uri": "https://us.example/webhook", "verify_token": "verify-me-please"})
    );
    assert!(requests[1].ends_with("\r\n\r\n"), "no body, or Meta would keep the override");
}

#[tokio::test]
async fn lists_subscribed_apps() {
    let body = json!({"data": [
        {"whatsapp_business_api_data": {"id": "7", "name": "Ours", "link": "x"}, "override_callback_uri": "https://o.example"},
        {"whatsapp_business_api_data": {"id": "8"}}, {}]});
    let (client, server) = serve(vec![answer("200 OK", &body.to_string())]);
    let apps = client.subscribed_apps("102", &credentials()).await.unwrap();
    assert_eq!(apps.iter().map(|app| app.id.as_str()).collect::<Vec<_>>(), ["7", "8"]);
    assert_eq!(apps[0].override_callback_uri.as_deref(), Some("https://o.example"));
    server.join().unwrap();
}

#[tokio::test]
async fn examines_a_token_as_the_app() {
    let body = json!({"data": {"app_id": 7, "type": "SYSTEM_USER", "is_valid": true, "expires_at": 0,
        "scopes": ["whatsapp_business_messaging"],
        "granular_scopes": [{"scope": "whatsapp_business_messaging", "target_ids": ["102"]}, {"scope": "email"}]}});
    let invalid = json!({"data": {"is_valid": false, "error": {"code": 190, "message": "bad EAAexamined"}}});
    let refused = r#"{"error":{"code":100,"message":"Malformed EAAexamined"}}"#;
    let (client, server) = serve(vec![
        answer("200 OK", &body.to_string()),
        answer("200 OK", &invalid.to_string()),
        answer("400 Bad Request", refused),
    ]);
    let (token, secret) = (SecretString::from("EAAexamined"), SecretString::from("s"));
    let info = client.debug_token(&token, "7", &secret).await.unwrap();
    let expected = TokenInfo {
        is_valid: true,
        app_id: Some("7".into()),
        kind: Some("SYSTEM_USER".into()),
        expires_at: Some(0),
        scopes: vec!["whatsapp_business_messaging".into()],
        granular_scopes: vec![("whatsapp_business_messaging".into(), vec!["102".into()])],
        error: None,
    };
    assert_eq!(info, expected);
    let info = client.debug_token(&token, "7", &secret).await.unwrap();
    assert_eq!((info.is_valid, info.error.as_deref()), (false, Some("bad [token]")));
    let refusal = client.debug_token(&token, "7", &secret).await.unwrap_err();
    assert_eq!(refusal.to_string(), "Malformed [token] (HTTP 400, code 100)");
    let request = server.join().unwrap().remove(0);
    assert!(request.starts_with("GET /v26.0/debug_token?input_token=EAAexamined&appsecret_proof="));
    assert!(request.to_lowercase().contains("authorization: bearer 7|s"));
}
