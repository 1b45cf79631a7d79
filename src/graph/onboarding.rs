//! What Graph says about a number, its WABA, its subscriptions and a token: the facts onboarding checks.
//!
//! Reads and idempotent writes only, so [`SendFailure::Ambiguous`] here just means "not known, ask again".

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::client::{Credentials, GraphClient, SendFailure, hide};

/// Pages of a WABA's numbers read at most, of 100 numbers each.
const MAX_PAGES: usize = 10;

const NUMBER_FIELDS: &str = "id,display_phone_number,verified_name,quality_rating,code_verification_status,\
    name_status,status,whatsapp_business_manager_messaging_limit,health_status,webhook_configuration,throughput";

/// A business number as Graph describes it. Every part may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhoneNumber {
    /// The phone number ID.
    pub id: Option<String>,
    /// For people, e.g. `+1 555-078-3881`.
    pub display_phone_number: Option<String>,
    /// The name customers see.
    pub verified_name: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality_rating: Option<String>,
    /// `VERIFIED`, `NOT_VERIFIED`, `EXPIRED`.
    pub code_verification_status: Option<String>,
    /// Review of the name, e.g. `APPROVED`.
    pub name_status: Option<String>,
    /// `CONNECTED` when it can be used.
    pub status: Option<String>,
    /// E.g. `TIER_1K`.
    pub messaging_limit: Option<String>,
    /// E.g. `STANDARD`.
    pub throughput: Option<String>,
    /// `AVAILABLE`, `LIMITED` or `BLOCKED` over all entities.
    pub can_send_message: Option<String>,
    /// Number, WABA, business and app, each with its own state.
    pub entities: Vec<HealthEntity>,
    /// Where its webhooks go.
    pub webhooks: WebhookConfiguration,
}

impl PhoneNumber {
    /// The WABA it belongs to, as Graph's health report names it.
    pub fn waba_id(&self) -> Option<&str> {
        self.entity("WABA")
    }

    /// The app whose token asked, as Graph's health report names it.
    pub fn app_id(&self) -> Option<&str> {
        self.entity("APP")
    }

    fn entity(&self, kind: &str) -> Option<&str> {
        self.entities.iter().find(|e| e.entity_type == kind).map(|e| e.id.as_str())
    }
}

/// One line of `health_status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthEntity {
    /// `PHONE_NUMBER`, `WABA`, `BUSINESS`, `APP`.
    pub entity_type: String,
    /// Its ID.
    pub id: String,
    /// `AVAILABLE`, `LIMITED` or `BLOCKED`.
    pub can_send_message: Option<String>,
    /// What is wrong and what mends it, Meta's words.
    pub problems: Vec<String>,
}

/// Callback URLs by level; the first that is set wins, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookConfiguration {
    /// The number's own override.
    pub phone_number: Option<String>,
    /// The WABA's override.
    pub whatsapp_business_account: Option<String>,
    /// The app's URL.
    pub application: Option<String>,
}

/// An app that gets a WABA's webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribedApp {
    /// App ID.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Where this WABA's webhooks go instead of the app's URL.
    pub override_callback_uri: Option<String>,
}

/// What `debug_token` knows of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenInfo {
    /// Whether Graph accepts it now.
    pub is_valid: bool,
    /// The app it was made for.
    pub app_id: Option<String>,
    /// E.g. `SYSTEM_USER`.
    pub kind: Option<String>,
    /// Unix seconds; 0 = never, `None` = not said.
    pub expires_at: Option<i64>,
    /// Granted permissions.
    pub scopes: Vec<String>,
    /// Per permission the assets it is limited to; an absent permission is unlimited.
    pub granular_scopes: Vec<(String, Vec<String>)>,
    /// Why it is not valid, Meta's words.
    pub error: Option<String>,
}

impl GraphClient {
    /// Everything worth knowing about a number.
    pub async fn phone_number(
        &self,
        id: &str,
        credentials: &Credentials,
    ) -> Result<PhoneNumber, SendFailure> {
        let query = [("fields", NUMBER_FIELDS)];
        let answer = self.call(Method::GET, &[id], &query, credentials, None).await?;
        let word = |key: &str| text(&answer[key]);
        let health = &answer["health_status"];
        let hooks = &answer["webhook_configuration"];
        Ok(PhoneNumber {
            id: word("id"),
            display_phone_number: word("display_phone_number"),
            verified_name: word("verified_name"),
            quality_rating: word("quality_rating"),
            code_verification_status: word("code_verification_status"),
            name_status: word("name_status"),
            status: word("status"),
            messaging_limit: word("whatsapp_business_manager_messaging_limit"),
            throughput: text(&answer["throughput"]["level"]),
            can_send_message: text(&health["can_send_message"]),
            entities: list(&health["entities"]).filter_map(entity).collect(),
            webhooks: WebhookConfiguration {
                phone_number: text(&hooks["phone_number"]),
                whatsapp_business_account: text(&hooks["whatsapp_business_account"]),
                application: text(&hooks["application"]),
            },
        })
    }

    /// IDs of the WABA's numbers: proof of ownership. At most the first thousand.
    pub async fn waba_phone_numbers(
        &self,
        waba_id: &str,
        credentials: &Credentials,
    ) -> Result<Vec<String>, SendFailure> {
        let mut ids = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("fields", "id"), ("limit", "100")];
            query.extend(after.as_deref().map(|cursor| ("after", cursor)));
            let path = [waba_id, "phone_numbers"];
            let page = self.call(Method::GET, &path, &query, credentials, None).await?;
            ids.extend(list(&page["data"]).filter_map(|number| text(&number["id"])));
            // The cursor is followed, never the `next` URL: that one may name another host.
            after = text(&page["paging"]["next"]).and_then(|_| text(&page["paging"]["cursors"]["after"]));
            if after.is_none() {
                break;
            }
        }
        Ok(ids)
    }

    /// The apps that get this WABA's webhooks.
    pub async fn subscribed_apps(
        &self,
        waba_id: &str,
        credentials: &Credentials,
    ) -> Result<Vec<SubscribedApp>, SendFailure> {
        let path = [waba_id, "subscribed_apps"];
        let answer = self.call(Method::GET, &path, &[], credentials, None).await?;
        let app = |app: &Value| {
            let data = &app["whatsapp_business_api_data"];
            Some(SubscribedApp {
                id: text(&data["id"])?,
                name: text(&data["name"]),
                override_callback_uri: text(&app["override_callback_uri"]),
            })
        };
        Ok(list(&answer["data"]).filter_map(app).collect())
    }

    /// Subscribes the token's app to the WABA, sending its webhooks to `callback` (URL of at most 200
    /// characters, verify token) when given. **Without one, an override that exists is deleted by Meta.**
    /// Meta verifies the URL during this call.
    pub async fn subscribe(
        &self,
        waba_id: &str,
        credentials: &Credentials,
        callback: Option<(&str, &SecretString)>,
    ) -> Result<(), SendFailure> {
        let body = callback.map(|(url, verify_token)| {
            json!({"override_callback_uri": url, "verify_token": verify_token.expose_secret()})
        });
        let path = [waba_id, "subscribed_apps"];
        self.call(Method::POST, &path, &[], credentials, body.as_ref()).await.map(drop)
    }

    /// Takes the token's app off the WABA: its webhooks come here no longer.
    pub async fn unsubscribe(&self, waba_id: &str, credentials: &Credentials) -> Result<(), SendFailure> {
        self.call(Method::DELETE, &[waba_id, "subscribed_apps"], &[], credentials, None).await.map(drop)
    }

    /// Registers a number for the Cloud API with its two-step PIN of six digits. Meta allows ten tries in 72 hours.
    pub async fn register(
        &self,
        phone_number_id: &str,
        credentials: &Credentials,
        pin: &str,
    ) -> Result<(), SendFailure> {
        let body = json!({"messaging_product": "whatsapp", "pin": pin});
        self.call(Method::POST, &[phone_number_id, "register"], &[], credentials, Some(&body)).await.map(drop)
    }

    /// The business token for the code of an Embedded Signup, which lives for 30 seconds and works once.
    pub async fn exchange_code(
        &self,
        code: &SecretString,
        app_id: &str,
        app_secret: &SecretString,
    ) -> Result<SecretString, SendFailure> {
        let mut url = self.url(&["oauth", "access_token"]);
        url.query_pairs_mut()
            .append_pair("client_id", app_id)
            .append_pair("client_secret", app_secret.expose_secret())
            .append_pair("code", code.expose_secret());
        let answer = Self::answer(self.request(Method::GET, url), code.expose_secret()).await?;
        let token = text(&answer["access_token"]);
        token.map(Into::into).ok_or_else(|| SendFailure::lost("success without a token"))
    }

    /// What Graph knows of `token`. Works only for tokens of the app `app_id` whose secret is given. Meta takes
    /// the examined token as a query parameter and in no other way.
    pub async fn debug_token(
        &self,
        token: &SecretString,
        app_id: &str,
        app_secret: &SecretString,
    ) -> Result<TokenInfo, SendFailure> {
        let app_token = format!("{app_id}|{}", app_secret.expose_secret());
        let credentials = Credentials { token: app_token.into(), app_secret: Some(app_secret.clone()) };
        let query = [("input_token", token.expose_secret())];
        let answer = self.call(Method::GET, &["debug_token"], &query, &credentials, None).await;
        let answer = answer.map_err(|mut failure| {
            if let SendFailure::Refused { error, .. } = &mut failure {
                hide(error, token.expose_secret());
            }
            failure
        })?;
        let data = &answer["data"];
        let granted = |scope: &Value| {
            let targets: Vec<String> = list(&scope["target_ids"]).filter_map(text).collect();
            Some((text(&scope["scope"])?, targets)).filter(|(_, targets)| !targets.is_empty())
        };
        Ok(TokenInfo {
            is_valid: data["is_valid"] == true,
            app_id: text(&data["app_id"]),
            kind: text(&data["type"]),
            expires_at: data["expires_at"].as_i64(),
            scopes: list(&data["scopes"]).filter_map(text).collect(),
            granular_scopes: list(&data["granular_scopes"]).filter_map(granted).collect(),
            error: text(&data["error"]["message"]).map(|m| m.replace(token.expose_secret(), "[token]")),
        })
    }
}

fn entity(entity: &Value) -> Option<HealthEntity> {
    let problem = |error: &Value| {
        let words = [text(&error["error_description"]), text(&error["possible_solution"])];
        Some(words.into_iter().flatten().collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty())
    };
    Some(HealthEntity {
        entity_type: text(&entity["entity_type"])?,
        id: text(&entity["id"])?,
        can_send_message: text(&entity["can_send_message"]),
        problems: list(&entity["errors"]).filter_map(problem).collect(),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A string that is not empty, or a number as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
