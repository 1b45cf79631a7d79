//! Settings as people write them, right and wrong.

use super::*;

const KEYS: &str = "a-secret-as-hosts-generate-them-0123456789";

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&variables(pairs))
}

fn refused(pairs: &[(&str, &str)]) -> String {
    load(pairs).expect_err(&format!("{pairs:?} must be refused")).to_string()
}

#[test]
fn without_any_variable_the_defaults_hold() {
    let config = load(&[]).unwrap();
    assert_eq!(config.public_url(), "http://127.0.0.1:3000");
    assert_eq!(config.sqlite_path().unwrap(), Path::new("data/switchboard.db"));
    assert_eq!(config.meta.graph_api_base_url, "https://graph.facebook.com");
    assert_eq!(config.meta.graph_api_version, "v26.0");
    assert_eq!(config.responder.response_api_path, "/response");
    assert_eq!(config.sessions.waha_api_url, "http://waha:3000/api");
    assert_eq!(config.sessions.session_path, Path::new("./whatsapp-session"));
    assert!(config.meta.facebook_app_secret.all().is_empty() && !config.meta.allow_unsigned_webhooks);
    assert!(!config.is_production() && config.allow_private_responders());
    assert_eq!(config.server.trusted_proxy, TrustedProxy::None);
    assert_eq!(config.storage.retention_days, None);
}

#[test]
fn the_example_file_is_complete_and_holds_the_defaults() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let example: Variables = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().unwrap();
    let (known, documented) = (known_names(), documented_names());
    for name in example.keys() {
        assert!(known.contains(name), "{name} is in .env.example and is no setting");
    }
    for name in &documented {
        assert!(example.contains_key(name), "{name} is a setting and not in .env.example");
    }
    let lines: Vec<_> = text.lines().collect();
    for (at, line) in
        lines.iter().enumerate().filter(|(_, line)| line.contains('=') && !line.starts_with('#'))
    {
        assert!(at > 0 && lines[at - 1].starts_with("# "), "{line} has no comment above it");
    }
    // What it shows as a value is the default, so that copying it changes nothing.
    assert_eq!(format!("{:?}", Config::load(&example).unwrap()), format!("{:?}", load(&[]).unwrap()));
    let database = example["DATABASE_URL"].as_str();
    assert_eq!(load(&[]).unwrap().storage.database_url.expose_secret(), database);
}

#[test]
fn blanks_count_as_unset_and_values_are_trimmed() {
    let config =
        load(&[("PORT", ""), ("PUBLIC_URL", "  "), ("WHATSAPP_VERIFY_TOKEN", " "), ("HOST", " 0.0.0.0 ")]);
    let config = config.unwrap();
    assert_eq!((config.server.port, config.server.public_url.clone()), (3000, None));
    assert!(config.meta.whatsapp_verify_token.is_none());
    assert_eq!(config.public_url(), "http://localhost:3000");
}

#[test]
fn a_wrong_value_names_its_variable_and_what_is_expected() {
    for (name, value, expected) in [
        ("PORT", "eighty", "expected a port"),
        ("PORT", "65536", "expected a port"),
        ("HOST", "x86_64-conda-linux-gnu", "expected an address"),
        ("PUBLIC_URL", "example.com", "expected an address"),
        ("PUBLIC_URL", "ftp://example.com", "expected an address"),
        ("GRAPH_API_BASE_URL", "https://user:pw@graph.facebook.com", "expected an address"),
        ("GRAPH_API_VERSION", "26", "v26.0"),
        ("RESPONSE_API_PATH", "response", "/response"),
        ("APP_ENV", "staging", "development or production"),
        ("DATABASE_URL", "mysql://root:hunter2@db/x", "postgres://"),
        ("ALLOW_UNSIGNED_WEBHOOKS", "maybe", "true or false"),
        ("RETENTION_DAYS", "0", "number of days"),
        ("SESSION_ENGINE", "baileys", "waha or native"),
        ("ONBOARDING_VERIFY", "on", "graph or off"),
        ("TRUSTED_PROXY", "everyone", "expected fly"),
        ("METRICS_PORT", "3000", "another port"),
        ("SWITCHBOARD_KEYS", "hunter2", "32 or more characters"),
        ("SWITCHBOARD_ADMIN_API_KEY", "hunter2", "16 characters"),
        ("ALERT_WEBHOOK_URL", "hunter2", "expected an address"),
    ] {
        let message = refused(&[(name, value)]);
        assert!(message.starts_with(&format!("{name}: ")) && message.contains(expected), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_misspelt_name_is_refused_with_the_right_one() {
    for (wrong, right) in [
        ("SWITCHBOARD_KEY", "SWITCHBOARD_KEYS"),
        ("SWITCHBOARD_ADMIN_KEY", "SWITCHBOARD_ADMIN_API_KEY"),
        ("switchboard_keys", "SWITCHBOARD_KEYS"),
    ] {
        let message = refused(&[(wrong, KEYS)]);
        assert!(message.contains(wrong) && message.ends_with(&format!("did you mean {right}?")), "{message}");
    }
    refused(&[("SWITCHBOARD_PORT", "80")]);
    // Kubernetes puts these into every pod beside a service named switchboard.
    load(&[("SWITCHBOARD_PORT", "tcp://10.0.0.1:3000"), ("SWITCHBOARD_SERVICE_HOST", "10.0.0.1")]).unwrap();
    load(&[("SWITCHBOARDS", "1"), ("PATH", "/bin"), ("GRAPH_API_VERSIONS", "x")]).unwrap();
}

#[test]
fn production_refuses_what_development_allows() {
    let production =
        |extra: (&'static str, &'static str)| [("NODE_ENV", "production"), ("SWITCHBOARD_KEYS", KEYS), extra];
    assert!(refused(&[("APP_ENV", "production")]).starts_with("SWITCHBOARD_KEYS: required in production"));
    assert!(
        refused(&[("APP_ENV", "production"), ("SWITCHBOARD_KEYS", " ")]).starts_with("SWITCHBOARD_KEYS: ")
    );
    assert!(
        refused(&production(("ALLOW_UNSIGNED_WEBHOOKS", "true")))
            .starts_with("ALLOW_UNSIGNED_WEBHOOKS: refused")
    );
    assert!(refused(&production(("SESSION_ENGINE", "sandbox"))).starts_with("SESSION_ENGINE: "));

    let config = load(&production(("PORT", "80"))).unwrap();
    assert!(config.is_production() && !config.allow_private_responders());
    assert!(load(&production(("ALLOW_PRIVATE_RESPONDERS", "yes"))).unwrap().allow_private_responders());
    load(&[("ALLOW_UNSIGNED_WEBHOOKS", "1"), ("SESSION_ENGINE", "sandbox")]).unwrap();
    // The newer name wins over its alias.
    assert!(!load(&[("APP_ENV", "development"), ("NODE_ENV", "production")]).unwrap().is_production());
    assert!(!load(&[("NODE_ENV", "test")]).unwrap().is_production());
}

#[test]
fn a_projects_secret_is_nothing_without_its_address() {
    let secret = ("SUPABASE_JWT_SECRET", "the-projects-secret");
    assert!(refused(&[secret]).starts_with("SUPABASE_URL: required beside"));
    load(&[secret, ("SUPABASE_URL", "https://abc.supabase.co")]).unwrap();
}

#[test]
fn the_public_address_comes_from_whoever_knows_it() {
    let url = |pairs: &[(&str, &str)]| load(pairs).unwrap().public_url();
    let (fly, render) = (("FLY_APP_NAME", "sb"), ("RENDER_EXTERNAL_URL", "https://sb.onrender.com/"));
    assert_eq!(url(&[("PUBLIC_URL", "https://chat.example.com/"), fly, render]), "https://chat.example.com");
    assert_eq!(url(&[fly, render]), "https://sb.fly.dev");
    assert_eq!(url(&[render]), "https://sb.onrender.com");
    assert_eq!(url(&[("HOST", "::1"), ("PORT", "8080")]), "http://[::1]:8080");
}

#[test]
fn app_secrets_are_current_and_previous() {
    let config = load(&[("FACEBOOK_APP_SECRET", " new , old ,")]).unwrap();
    let secrets: Vec<_> = config.meta.facebook_app_secret.all().iter().map(|s| s.expose_secret()).collect();
    assert_eq!(secrets, ["new", "old"]);
    assert_eq!(config.meta.facebook_app_secret.current().unwrap().expose_secret(), "new");
}

#[test]
fn the_key_file_stands_beside_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/sub/app.db?mode=rwc", folder.path().display());
    load(&[("DATABASE_URL", &database)]).unwrap().ring().unwrap();
    assert!(folder.path().join("sub/switchboard.keys").exists());
    load(&[("SWITCHBOARD_KEYS", KEYS), ("APP_ENV", "production")]).unwrap().ring().unwrap();
    for (url, path) in [
        ("sqlite::memory:", None),
        ("sqlite://:memory:", None),
        ("postgres://u:p@h/d", None),
        ("sqlite:a.db", Some("a.db")),
        ("sqlite:///data/a.db?mode=rwc", Some("/data/a.db")),
    ] {
        assert_eq!(load(&[("DATABASE_URL", url)]).unwrap().sqlite_path(), path.map(PathBuf::from), "{url}");
    }
}

#[test]
fn debug_and_help_show_no_secret() {
    let all: Vec<_> = documented_names();
    let secret = |name: &&String| {
        ["SECRET", "KEY", "TOKEN", "DATABASE_URL", "ALERT_WEBHOOK_URL"].iter().any(|part| name.contains(part))
    };
    let mut set = Variables::new();
    for name in all.iter().filter(secret) {
        let value = match name.as_str() {
            "DATABASE_URL" => "postgres://u:canary-canary-canary-canary-canary@h/d",
            "ALERT_WEBHOOK_URL" => "https://hooks.example.com/canary",
            _ => "canary-canary-canary-canary-canary",
        };
        set.insert(name.clone(), value.to_owned());
    }
    assert_eq!(set.len(), 11, "{set:?}");
    set.insert("SUPABASE_URL".to_owned(), "https://abc.supabase.co".to_owned());
    let config = Config::load(&set).unwrap();
    assert!(!format!("{config:?}").contains("canary"), "{config:?}");
    let help =
        apply(Config::augment_args(clap::Command::new("switchboard")), &set).render_long_help().to_string();
    assert!(help.contains("[env: SWITCHBOARD_KEYS]") && !help.contains("canary"), "{help}");
}

#[test]
fn a_flag_wins_over_a_variable_in_subcommands_too() {
    use clap::FromArgMatches;
    let serve = Config::augment_args(clap::Command::new("serve"));
    let command = clap::Command::new("switchboard").subcommand(serve);
    let set = variables(&[("PORT", "8080"), ("HOST", "0.0.0.0")]);
    let matches =
        apply(command, &set).try_get_matches_from(["switchboard", "serve", "--port", "9090"]).unwrap();
    let config = Config::from_arg_matches(matches.subcommand_matches("serve").unwrap()).unwrap();
    assert_eq!((config.server.port, config.server.host.to_string().as_str()), (9090, "0.0.0.0"));
}
