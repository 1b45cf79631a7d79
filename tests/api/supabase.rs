//! Tokens of a Supabase project: which are believed, whose they are, and how seldom its keys are fetched.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use sha2::Sha256;
use switchboard::runtime::Clock;

use super::harness::{ADMIN, Api, Options, read};

const SECRET: &str = "the-projects-own-jwt-secret-of-the-tests";
const NOW: i64 = 1_800_000_000;
const SUB: &str = "9b2e1d3c-0000-4000-8000-000000000001";

/// The project: its published keys, and how often they were asked for.
#[derive(Default)]
struct State {
    keys: Vec<Value>,
    fetches: usize,
    down: bool,
}

/// A project on a real socket, with one key of each kind.
struct Project {
    url: String,
    state: Arc<Mutex<State>>,
    ec: Vec<u8>,
    rsa: RsaKeyPair,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn ec_key() -> Vec<u8> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    key.as_ref().to_vec()
}

fn ec_jwk(key: &[u8], kid: &str) -> Value {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &SystemRandom::new()).unwrap();
    let point = pair.public_key().as_ref();
    json!({"kid": kid, "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
        "x": b64(&point[1..33]), "y": b64(&point[33..]), "key_ops": ["verify"], "ext": true})
}

impl Project {
    fn start() -> Self {
        let rsa = RsaKeyPair::from_pkcs8(include_bytes!("../fixtures/rsa-of-the-tests.der")).unwrap();
        let ec = ec_key();
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public());
        let rsa_jwk = |kid: &str, usage: &str| json!({"kid": kid, "kty": "RSA", "alg": "RS256", "use": usage, "n": b64(&n), "e": b64(&e)});
        let keys = vec![
            ec_jwk(&ec, "ec"),
            rsa_jwk("rsa", "sig"),
            rsa_jwk("for-encryption", "enc"),
            json!({"kid": "oct", "kty": "oct", "k": b64("published-by-mistake"), "alg": "HS256"}),
            json!({"kid": "strange", "kty": "OKP", "crv": "Ed25519", "x": "AA"}),
            json!("not even an object"),
        ];
        let state = Arc::new(Mutex::new(State { keys, ..State::default() }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let data = web::Data::from(state.clone());
        let serve = |state: web::Data<Mutex<State>>| async move {
            let mut state = state.lock().unwrap();
            state.fetches += 1;
            match state.down {
                true => HttpResponse::BadGateway().finish(),
                false => HttpResponse::Ok().json(json!({"keys": state.keys})),
            }
        };
        let app = move || {
            App::new().app_data(data.clone()).route("/auth/v1/.well-known/jwks.json", web::get().to(serve))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        actix_web::rt::spawn(server);
        Self { url, state, ec, rsa }
    }

    fn fetches(&self) -> usize {
        self.state.lock().unwrap().fetches
    }

    fn claims(&self) -> Value {
        json!({"sub": SUB, "email": "sue@example.com", "aud": "authenticated", "role": "authenticated",
            "iss": format!("{}/auth/v1", self.url), "exp": NOW + 3600, "iat": NOW - 5,
            "app_metadata": {"provider": "email"}, "user_metadata": {"tenant_id": "b", "role": "owner"}})
    }

    /// The usual claims, changed.
    fn with(&self, changes: Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| value != "absent");
        claims
    }

    fn es256(&self, claims: &Value) -> String {
        es256(&self.ec, &json!({"alg": "ES256", "typ": "JWT", "kid": "ec"}), claims)
    }

    fn rs256(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let mut signature = vec![0; self.rsa.public().modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", b64(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", b64(header.to_string()), b64(claims.to_string()))
}

fn es256(key: &[u8], header: &Value, claims: &Value) -> String {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &random).unwrap();
    let signed = unsigned(header, claims);
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    format!("{signed}.{}", b64(signature))
}

fn hs256(secret: impl AsRef<[u8]>, claims: &Value) -> String {
    hs(secret, &json!({"alg": "HS256", "typ": "JWT"}), claims)
}

fn hs(secret: impl AsRef<[u8]>, header: &Value, claims: &Value) -> String {
    let signed = unsigned(header, claims);
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_ref()).unwrap().chain_update(&signed);
    format!("{signed}.{}", b64(mac.finalize().into_bytes()))
}

async fn api_of(project: &Project, secret: Option<&str>, clock: &Clock) -> Api {
    let supabase = Some((project.url.clone(), secret.map(str::to_owned)));
    Api::start_with(Options { supabase, clock: Some(clock.clone()), ..Options::default() }).await
}

async fn status(api: &Api, token: &str) -> u16 {
    read(api.request("get", "/api/v1/me", token).send().await.unwrap()).await.0
}

#[actix_web::test]
async fn a_person_of_the_project_has_a_tenant_of_their_own() {
    let (project, clock) = (Project::start(), Clock::manual(NOW * 1000));
    let api = api_of(&project, Some(SECRET), &clock).await;
    let token = project.es256(&project.claims());
    // They come ten times at once, for the first time.
    let answers = join_all((0..10).map(|_| api.expect(200, "get", "/api/v1/me", &token, Value::Null))).await;
    let tenant = answers[0]["tenant"]["id"].as_str().unwrap();
    assert!(answers.iter().all(|me| me["tenant"]["id"] == tenant), "{answers:?}");
    assert_eq!(project.fetches(), 1, "one fetches, the others wait");
    let me = &answers[0];
    assert_eq!(
        (&me["id"], &me["kind"], &me["email"]),
        (&json!(SUB), &json!("person"), &json!("sue@example.com"))
    );
    assert_eq!((&me["role"], &me["platform"]), (&json!("owner"), &json!(false)));
    let row = api.expect(200, "get", &format!("/api/v1/tenants/{tenant}"), ADMIN, Value::Null).await;
    assert_eq!(row["externalIds"], json!({"supabase_user": SUB}));

    // By secret, by RSA, and with several audiences it is the same person.
    let rsa = project.rs256(&json!({"alg": "RS256", "kid": "rsa"}), &project.claims());
    let audiences = project.es256(&project.with(json!({"aud": ["other", "authenticated"], "iat": "absent"})));
    for token in [hs256(SECRET, &project.claims()), rsa, audiences] {
        let me = api.expect(200, "get", "/api/v1/me", &token, Value::Null).await;
        assert_eq!(me["tenant"]["id"], tenant);
    }
    // Somebody else has another one, and the first one's things are not there.
    let other = project.es256(&project.with(json!({"sub": "somebody-else"})));
    let me = api.expect(200, "get", "/api/v1/me", &other, Value::Null).await;
    assert_ne!(me["tenant"]["id"], tenant);
    api.refuse(404, "not_found", "get", &format!("/api/v1/tenants/{tenant}"), &other, Value::Null).await;
    // Only the platform names a tenant.
    let named = api.request("get", "/api/v1/me", &token).header("switchboard-tenant", "default");
    assert_eq!(read(named.send().await.unwrap()).await.1["data"]["tenant"]["id"], tenant);
    api.refuse(403, "forbidden", "get", "/api/v1/tenants", &token, Value::Null).await;
}

#[actix_web::test]
async fn what_the_operator_noted_decides_the_tenant_and_the_role() {
    let (project, clock) = (Project::start(), Clock::manual(NOW * 1000));
    let api = api_of(&project, None, &clock).await;
    for (id, names) in [
        ("5", json!({})),
        ("acme", json!({"legacy_int": "77", "agency": "6f1c0d9e-aaaa-4bbb-8ccc-000000000001"})),
    ] {
        let body = json!({"id": id, "name": id, "externalIds": names});
        api.expect(201, "post", "/api/v1/tenants", ADMIN, body).await;
    }
    for (noted, tenant, role) in [
        (json!({"tenant_id": 5}), "5", "agent"),
        (json!({"tenant_id": "5", "role": "viewer"}), "5", "viewer"),
        (json!({"tenant_id": 77, "switchboard_role": "owner", "role": "viewer"}), "acme", "owner"),
        (json!({"tenant_id": "acme", "role": "manager"}), "acme", "admin"),
        (json!({"tenant_id": "acme", "role": "superuser"}), "acme", "agent"),
        (json!({"agency_id": "6f1c0d9e-aaaa-4bbb-8ccc-000000000001"}), "acme", "agent"),
    ] {
        let token = project.es256(&project.with(json!({"app_metadata": noted})));
        let me = api.expect(200, "get", "/api/v1/me", &token, Value::Null).await;
        assert_eq!((&me["tenant"]["id"], &me["role"]), (&json!(tenant), &json!(role)), "{noted}");
    }
    for noted in [
        json!({"tenant_id": 6}),
        json!({"tenant_id": ["5"]}),
        json!({"agency_id": "acme"}),
        json!({"tenant_id": ""}),
    ] {
        let token = project.es256(&project.with(json!({"app_metadata": noted})));
        assert_eq!(status(&api, &token).await, 403, "{noted}");
    }
}

#[actix_web::test]
async fn no_bad_token_is_believed() {
    let (project, clock) = (Project::start(), Clock::manual(NOW * 1000));
    let api = api_of(&project, Some(SECRET), &clock).await;
    let claims = project.claims();
    let good = project.es256(&claims);
    assert_eq!(status(&api, &good).await, 200);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let es = |changes: Value| project.es256(&project.with(changes));
    let by = |header: Value| es256(&project.ec, &header, &claims);
    let attacker = ec_key();
    let spki = ec_jwk(&project.ec, "ec");
    let point = [
        &[4][..],
        &BASE64_URL_SAFE_NO_PAD.decode(spki["x"].as_str().unwrap()).unwrap(),
        &BASE64_URL_SAFE_NO_PAD.decode(spki["y"].as_str().unwrap()).unwrap(),
    ]
    .concat();
    let modulus = RsaPublicKeyComponents::<Vec<u8>>::from(project.rsa.public()).n;
    let none = |alg: &str| format!("{}.", unsigned(&json!({"alg": alg}), &claims));
    let asn1 = {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &project.ec, &SystemRandom::new())
                .unwrap();
        let signed = format!("{header}.{payload}");
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64(signature))
    };
    let bad = [
        ("nothing in it", "..".to_owned()),
        ("rubbish", "a.b.c".to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.x")),
        ("none", none("none")),
        ("None", none("None")),
        (
            "no algorithm, a signature",
            format!("{}.{signature}", unsigned(&json!({"alg": "none", "kid": "ec"}), &claims)),
        ),
        ("another family's algorithm", hs(SECRET, &json!({"alg": "HS512"}), &claims)),
        ("no header field alg", hs(SECRET, &json!({"typ": "JWT"}), &claims)),
        ("a guessed secret", hs256("secret", &claims)),
        ("an empty secret", hs256("", &claims)),
        ("a public point as secret", hs(&point, &json!({"alg": "HS256", "kid": "ec"}), &claims)),
        ("a modulus as secret", hs(&modulus, &json!({"alg": "HS256", "kid": "rsa"}), &claims)),
        ("a published secret", hs("published-by-mistake", &json!({"alg": "HS256", "kid": "oct"}), &claims)),
        ("ES256 by an RSA key's name", by(json!({"alg": "ES256", "kid": "rsa"}))),
        ("RS256 by an EC key's name", project.rs256(&json!({"alg": "RS256", "kid": "ec"}), &claims)),
        ("a key for encryption", project.rs256(&json!({"alg": "RS256", "kid": "for-encryption"}), &claims)),
        ("no key's name", by(json!({"alg": "ES256"}))),
        ("an unknown name", by(json!({"alg": "ES256", "kid": "nobody"}))),
        ("somebody else's key", es256(&attacker, &json!({"alg": "ES256", "kid": "ec"}), &claims)),
        (
            "a key brought along",
            es256(
                &attacker,
                &json!({"alg": "ES256", "kid": "mine", "jwk": ec_jwk(&attacker, "mine")}),
                &claims,
            ),
        ),
        (
            "an address of keys brought along",
            es256(
                &attacker,
                &json!({"alg": "ES256", "kid": "mine", "jku": format!("{}/evil.json", project.url)}),
                &claims,
            ),
        ),
        (
            "extensions we do not know",
            by(json!({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": false})),
        ),
        (
            "changed claims",
            format!("{header}.{}.{signature}", b64(project.with(json!({"sub": "somebody"})).to_string())),
        ),
        ("a shortened signature", good[..good.len() - 4].to_owned()),
        ("another form of signature", asn1),
        ("padding", format!("{good}=")),
        ("a claim twice", {
            let text = claims.to_string().replacen('{', "{\"sub\":\"x\",", 1);
            let signed = format!("{header}.{}", b64(text));
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &project.ec, &SystemRandom::new())
                    .unwrap();
            format!("{signed}.{}", b64(pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap()))
        }),
        ("expired", es(json!({"exp": NOW}))),
        ("never expires", es(json!({"exp": "absent"}))),
        ("expires in words", es(json!({"exp": "2099-01-01"}))),
        ("not yet", es(json!({"nbf": NOW + 60}))),
        ("issued tomorrow", es(json!({"iat": NOW + 86_400}))),
        ("for somebody else", es(json!({"aud": "other"}))),
        ("for nobody", es(json!({"aud": "absent"}))),
        ("for an object", es(json!({"aud": {"0": "authenticated"}}))),
        ("from another project", es(json!({"iss": "https://evil.supabase.co/auth/v1"}))),
        ("from nobody", es(json!({"iss": "absent"}))),
        ("the project's anonymous key", es(json!({"role": "anon", "sub": "absent"}))),
        ("the project's service key", hs256(SECRET, &project.with(json!({"role": "service_role"})))),
        ("an anonymous sign-in", es(json!({"is_anonymous": true}))),
        ("nobody", es(json!({"sub": ""}))),
        ("a name that is none", es(json!({"sub": "a b/../c"}))),
        ("a very long one", es(json!({"filler": "x".repeat(9000)}))),
    ];
    assert!(bad.len() >= 40);
    for (what, token) in &bad {
        assert_eq!(status(&api, token).await, 401, "{what}");
    }
    assert_eq!(status(&api, &good).await, 200);
    assert_eq!(project.fetches(), 1, "unknown names are no reason to ask twice a minute");

    // Where a project has no secret, or there is no project, its tokens are nothing.
    let api = api_of(&project, None, &clock).await;
    assert_eq!(status(&api, &hs256(SECRET, &claims)).await, 401);
    assert_eq!(status(&api, &hs256("", &claims)).await, 401);
    assert_eq!(status(&Api::start().await, &good).await, 401);
}

#[actix_web::test]
async fn keys_are_fetched_when_they_are_needed_and_seldom() {
    let (project, clock) = (Project::start(), Clock::manual(NOW * 1000));
    let api = api_of(&project, None, &clock).await;
    let token = project.es256(&project.claims());
    project.state.lock().unwrap().down = true;
    assert_eq!(status(&api, &token).await, 503, "not the caller's fault");
    project.state.lock().unwrap().down = false;
    clock.advance(5_000);
    assert_eq!((status(&api, &token).await, project.fetches()), (200, 2));

    // The project changes its key: the new one is found within a minute, a flood of names costs nothing.
    let new = ec_key();
    let rotated = es256(&new, &json!({"alg": "ES256", "kid": "new"}), &project.claims());
    project.state.lock().unwrap().keys = vec![ec_jwk(&new, "new")];
    for n in 0..50 {
        let header = json!({"alg": "ES256", "kid": format!("flood-{n}")});
        assert_eq!(status(&api, &es256(&new, &header, &project.claims())).await, 401);
    }
    assert_eq!((status(&api, &rotated).await, project.fetches()), (401, 2));
    clock.advance(60_000);
    let all = join_all((0..20).map(|_| status(&api, &rotated))).await;
    assert_eq!((all, project.fetches()), (vec![200; 20], 3));
    // What the old key signed is void.
    assert_eq!(status(&api, &token).await, 401);

    // A key that was taken back is not believed for longer than ten minutes; while the project is away, what is known counts.
    project.state.lock().unwrap().down = true;
    clock.advance(600_000);
    assert_eq!((status(&api, &rotated).await, project.fetches()), (200, 4));
    project.state.lock().unwrap().down = false;
    project.state.lock().unwrap().keys.clear();
    clock.advance(5_000);
    assert_eq!((status(&api, &rotated).await, project.fetches()), (401, 5));
}
