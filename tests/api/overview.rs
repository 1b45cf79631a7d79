//! Every number at a glance: what is counted, and for whom.

use serde_json::{Value, json};

use super::harness::{ADMIN, Api, Options};
use super::postgres;
use switchboard::auth::Role;
use switchboard::sandbox::graph::Fault;
use switchboard::store::Location;

const OVERVIEW: &str = "/api/v1/overview";

async fn numbers_and_their_day_are_told(api: Api) {
    let echo = json!({"responder": {"kind": "echo"}, "coalesceMs": 0, "typing": false});
    let mut keys = Vec::new();
    for (tenant, chatbot, number) in [("a", "shop", "111"), ("b", "help", "222")] {
        let key = api.key(tenant, Role::Admin).await;
        let mut body = echo.clone();
        body["id"] = chatbot.into();
        api.expect(201, "post", "/api/v1/chatbots", &key, body).await;
        api.onboard(&key, chatbot, number).await;
        keys.push(key);
    }
    let quiet = api.expect(200, "get", OVERVIEW, &keys[0], Value::Null).await;
    let number = &quiet["numbers"][0];
    assert_eq!(quiet["numbers"].as_array().unwrap().len(), 1, "another tenant's number is seen");
    assert_eq!((&number["phoneNumberId"], &number["chatbotId"]), (&json!("111"), &json!("shop")));
    assert_eq!(
        (&number["received"], &number["sent"], &number["lastReceivedAt"]),
        (&json!(0), &json!(0), &Value::Null)
    );

    api.inbound("111", "wamid.1", "Hello", None).await;
    let well = api.until(OVERVIEW, &keys[0], |data| data["numbers"][0]["sent"] == 1).await;
    assert_eq!((&well["numbers"][0]["received"], &well["numbers"][0]["failed"]), (&json!(1), &json!(0)));
    assert!(well["numbers"][0]["lastReceivedAt"].is_string());

    api.graph.fault(Fault::error(400, 131_026));
    api.inbound("111", "wamid.2", "Again", None).await;
    let ill = api.until(OVERVIEW, &keys[0], |data| data["numbers"][0]["failed"] == 1).await;
    assert_eq!(ill["numbers"][0]["waiting"], 0);

    // The platform that names no tenant sees all; one that does sees that tenant's.
    let all = api.expect(200, "get", OVERVIEW, ADMIN, Value::Null).await;
    assert_eq!(all["numbers"].as_array().unwrap().len(), 2);
    let request = api.request("get", OVERVIEW, ADMIN).header("Switchboard-Tenant", "b");
    let (_, one) = super::harness::read(request.send().await.unwrap()).await;
    assert_eq!(one["data"]["numbers"][0]["tenantId"], "b");
    assert_eq!(one["data"]["numbers"][0]["received"], 0);
}

#[actix_web::test]
async fn numbers_and_their_day_are_told_on_sqlite() {
    numbers_and_their_day_are_told(Api::start().await).await;
}

#[actix_web::test]
async fn numbers_and_their_day_are_told_on_postgres() {
    let Some(database) = postgres::database().await else { return };
    let options = Options { database: Some(Location::Postgres(database.url.clone())), ..Options::default() };
    numbers_and_their_day_are_told(Api::start_with(options).await).await;
}

#[actix_web::test]
async fn integrations_are_listed_page_by_page() {
    let api = Api::start().await;
    let key = api.key("a", Role::Admin).await;
    for number in ["111", "222", "333"] {
        api.onboard(&key, &format!("bot-{number}"), number).await;
    }
    let stranger = api.key("b", Role::Owner).await;
    let path = "/api/v1/whatsapp/integrations";
    let (_, page) = api.call("get", &format!("{path}?limit=2"), &key, Value::Null).await;
    let next = format!("{path}?limit=2&cursor={}", page["nextCursor"].as_str().unwrap());
    let (_, last) = api.call("get", &next, &key, Value::Null).await;
    let numbers: Vec<&str> = [&page, &last]
        .into_iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(|one| one["phoneNumberId"].as_str().unwrap())
        .collect();
    assert_eq!((numbers, &last["nextCursor"]), (vec!["111", "222", "333"], &Value::Null));
    assert_eq!(api.expect(200, "get", path, &stranger, Value::Null).await, json!([]));
}
