//! The `responder` of a chatbot as callers write it: merged field by field, and checked as a whole.

use serde::Deserialize;
use url::Url;

use super::body::{Field, Fields, any, number, text};
use crate::responder::{Kind, Settings, check_url};

/// What changes about a responder: absent fields stay, null ones go back to their default.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResponderChange {
    #[serde(default)]
    kind: Field<Kind>,
    #[serde(default)]
    base_url: Field<String>,
    #[serde(default)]
    path: Field<String>,
    #[serde(default)]
    origin_url: Field<String>,
    #[serde(default)]
    model: Field<String>,
    #[serde(default)]
    system_prompt: Field<String>,
    #[serde(default)]
    timeout_ms: Field<i64>,
}

/// The settings after the change; what is wrong is noted.
pub fn merge(
    fields: &mut Fields,
    before: &Settings,
    change: Field<ResponderChange>,
    allow_private: bool,
) -> Settings {
    let change = match fields.optional("responder", change, any) {
        None => return before.clone(),
        Some(None) => return Settings::default(),
        Some(Some(change)) => change,
    };
    let mut after = before.clone();
    if let Some(kind) = fields.optional("responder.kind", change.kind, any) {
        after.kind = kind.unwrap_or_default();
    }
    let base_url = fields.optional("responder.baseUrl", change.base_url, |url| {
        let url = text(2048)(url)?;
        let parsed = check_url(&url, allow_private).map_err(|e| e.to_string())?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err("must not have a query".to_owned());
        }
        Ok(url)
    });
    let path = fields.optional("responder.path", change.path, |path| {
        let plain = path.starts_with('/') && path.len() <= 512 && !path.contains(['?', '#', ' ']);
        if plain { Ok(path) } else { Err("must be a path such as /response".to_owned()) }
    });
    let origin_url = fields.optional("responder.originUrl", change.origin_url, |url| {
        Url::parse(&url).map_err(|_| "must be a URL such as whatsapp://chat".to_owned())?;
        text(2048)(url)
    });
    let model = fields.optional("responder.model", change.model, text(200));
    let prompt = fields.optional("responder.systemPrompt", change.system_prompt, text(32_768));
    let targets = [
        (&mut after.base_url, base_url),
        (&mut after.path, path),
        (&mut after.origin_url, origin_url),
        (&mut after.model, model),
        (&mut after.system_prompt, prompt),
    ];
    for (target, value) in targets {
        if let Some(value) = value {
            *target = value;
        }
    }
    if let Some(ms) = fields.optional("responder.timeoutMs", change.timeout_ms, number(1_000..=60_000)) {
        after.timeout_ms = ms.map(i64::unsigned_abs);
    }
    if after.path.is_some() && after.base_url.is_none() && !fields.has("responder.path") {
        fields.wrong(
            "responder.path",
            "needs a responder.baseUrl: paths at the server's own are not for tenants",
        );
    }
    if after.kind == Kind::Openai {
        for (name, missing) in
            [("responder.baseUrl", after.base_url.is_none()), ("responder.model", after.model.is_none())]
        {
            if missing && !fields.has(name) {
                fields.wrong(name, "is required for kind openai");
            }
        }
    }
    after
}

/// The host a chatbot's key is sent to; none: the operator's own.
pub fn host(settings: &Settings) -> Option<url::Origin> {
    Some(Url::parse(settings.base_url.as_deref()?).ok()?.origin())
}
