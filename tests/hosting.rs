//! The files that hosts read: what they set is known, and with it the program starts.

use std::{collections::BTreeMap, fs, path::Path};

use switchboard::config::{Config, Variables, known_names};

const KEYS: &str = "a-secret-as-hosts-generate-them-0123456789";

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn pair(line: &str, separator: char) -> Option<(String, String)> {
    let (name, value) = line.trim().split_once(separator)?;
    Some((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
}

/// `ENV A=b \` and the lines it goes on to.
fn dockerfile() -> Variables {
    let text = read("Dockerfile").replace("\\\n", " ");
    let last_stage = text.rsplit("\nFROM ").next().unwrap();
    let env = last_stage.lines().filter_map(|line| line.strip_prefix("ENV "));
    env.flat_map(str::split_whitespace).map(|set| pair(set, '=').unwrap()).collect()
}

/// `NAME = "value"` under `[section]`.
fn toml(text: &str, section: &str) -> BTreeMap<String, String> {
    let lines = text.lines().skip_while(|line| line.trim() != section).skip(1);
    lines.take_while(|line| !line.trim().starts_with('[')).filter_map(|line| pair(line, '=')).collect()
}

/// `- key: NAME`, with the value below it; a generated one stands for any bare secret.
fn render() -> Variables {
    let text = read("render.yaml");
    let entries = text.split("- key: ").skip(1).map(|entry| {
        let (name, rest) = entry.split_once('\n').unwrap();
        let value = rest.lines().next().and_then(|line| pair(line, ':')).unwrap();
        let value = match (value.0.as_str(), value.1) {
            ("value", value) => value,
            ("generateValue", _) => KEYS.to_owned(),
            ("sync", _) => "typed-in-by-a-person".to_owned(),
            (other, _) => panic!("{name} has {other}"),
        };
        (name.to_owned(), value)
    });
    entries.collect()
}

/// `NAME: value` in the service's `environment`; what it takes from .env stands for itself.
fn compose() -> Variables {
    let text = read("compose.yaml");
    let lines = text.lines().skip_while(|line| *line != "    environment:").skip(1);
    let set = lines.take_while(|line| line.starts_with("      ")).map(|line| pair(line, ':').unwrap());
    set.map(|(name, value)| match value.as_str() {
        _ if name == "SWITCHBOARD_KEYS" => (name, KEYS.to_owned()),
        value if value.ends_with(":-}") => (name, String::new()),
        _ => (name, value),
    })
    .collect()
}

/// What a container of that host sees: its own variables over those of the image.
fn on(host: Variables) -> Config {
    let mut variables = dockerfile();
    variables.extend(host);
    let config = Config::load(&variables).unwrap();
    assert!(config.is_production() && config.server.host.is_unspecified(), "{variables:?}");
    config
}

#[test]
fn every_variable_that_a_host_sets_is_known() {
    let known = known_names();
    for (file, variables, at_least) in [
        ("Dockerfile", dockerfile(), 5),
        ("fly.toml", toml(&read("fly.toml"), "[env]"), 3),
        ("render.yaml", render(), 5),
        ("compose.yaml", compose(), 5),
    ] {
        assert!(variables.len() >= at_least, "{file} could not be read: {variables:?}");
        for name in variables.keys() {
            assert!(known.contains(name), "{file} sets {name}, which is no setting");
        }
    }
}

#[test]
fn fly_starts_it_on_its_volume_and_lets_it_drain() {
    let text = read("fly.toml");
    let (env, service) = (toml(&text, "[env]"), toml(&text, "[http_service]"));
    let mut host = env.clone();
    host.insert("SWITCHBOARD_KEYS".to_owned(), KEYS.to_owned());
    host.insert("FLY_APP_NAME".to_owned(), "mine".to_owned());
    let config = on(host);
    assert_eq!(service["internal_port"], config.server.port.to_string());
    assert_eq!(toml(&text, "[metrics]")["port"], config.operations.metrics_port.unwrap().to_string());
    assert!(config.sqlite_path().unwrap().starts_with(&toml(&text, "[mounts]")["destination"]));
    assert_eq!(config.public_url(), "https://mine.fly.dev");
    assert_eq!(toml(&text, "[[http_service.checks]]")["path"], "/ready");
    assert!(text.contains("kill_signal = \"SIGTERM\"\nkill_timeout = 30\n"), "its default cuts sends off");
    assert_eq!(service["auto_stop_machines"].split_whitespace().next().unwrap(), "off");
}

#[test]
fn render_starts_it_on_its_disk() {
    let config = on(render());
    assert!(config.sqlite_path().unwrap().starts_with("/data"));
    config.ring().unwrap();
    let text = read("render.yaml");
    for line in ["mountPath: /data", "healthCheckPath: /ready", "maxShutdownDelaySeconds: 30"] {
        assert!(text.contains(line), "{line}");
    }
}

#[test]
fn compose_starts_it_on_postgresql() {
    let config = on(compose());
    assert_eq!(config.sqlite_path(), None);
    assert!(read("compose.yaml").contains(&format!(":{}\"", config.server.port)));
}

#[test]
fn the_container_has_no_shell_no_root_and_nothing_to_write_to_but_its_data() {
    let image = read("Dockerfile");
    let last = image.rsplit("\nFROM ").next().unwrap();
    assert!(
        last.starts_with("gcr.io/distroless/") && last.lines().next().unwrap().ends_with(":nonroot"),
        "{last}"
    );
    assert!(!last.contains("USER root") && !last.contains("\nRUN "), "{last}");
    assert!(read("compose.yaml").contains("\n    read_only: true\n"));
}
