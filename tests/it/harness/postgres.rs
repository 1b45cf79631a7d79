//! A fresh PostgreSQL database per test: on the server of `TEST_DATABASE_URL`, else on a cluster of our own.
//!
//! The own cluster is made once per test process from the installed binaries and vanishes with the process,
//! however that ends.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::{Uid, User};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;

/// Whether commits are to survive a power loss. Tests are quicker without; benchmarks set it before the first
/// database is asked for.
pub static DURABLE: AtomicBool = AtomicBool::new(false);

/// An empty database; dropped (connections and all) when this is.
pub struct Database {
    /// `postgres://…`, for `DATABASE_URL`.
    pub url: String,
    server: Url,
    name: String,
}

/// A fresh database, or `None` where there is no PostgreSQL (said once on stderr).
///
/// Panics when `REQUIRE_POSTGRES=1` and there is none, and when one is there but does not work.
pub async fn database() -> Option<Database> {
    Some(database_on(server()?).await)
}

async fn database_on(server: &Url) -> Database {
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    execute(server, format!("CREATE DATABASE {name}")).await.expect("a test database can be created");
    let mut url = server.clone();
    url.set_path(&name);
    Database { url: url.into(), server: server.clone(), name }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, statement) =
            (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A runtime cannot wait inside another one; a thread of its own can.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(&server, statement)).map_err(io::Error::other)
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the test database {} could not be dropped", self.name);
        }
    }
}

async fn execute(server: &Url, statement: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(server.as_str()).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    connection.close().await
}

/// The server for this process: its URL names the database to connect to for creating others.
fn server() -> Option<&'static Url> {
    static SERVER: OnceLock<Option<Url>> = OnceLock::new();
    let found = SERVER.get_or_init(|| {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            return Some(url.parse().expect("TEST_DATABASE_URL is a URL"));
        }
        let Some(binaries) = binaries() else {
            assert!(
                std::env::var("REQUIRE_POSTGRES").as_deref() != Ok("1"),
                "REQUIRE_POSTGRES=1, but neither TEST_DATABASE_URL nor PostgreSQL's initdb was found"
            );
            eprintln!("skipped: PostgreSQL is not installed");
            return None;
        };
        Some(Cluster::start(&binaries, None).expect("a PostgreSQL cluster of our own starts").url)
    });
    found.as_ref()
}

/// Where `initdb` and `pg_ctl` are: on the PATH, else Debian's place, the newest version.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    std::env::split_paths(&path)
        .chain(versions.into_iter().rev().map(|version| version.join("bin")))
        .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
}

/// A cluster of our own, gone with this process.
#[allow(dead_code)] // not everybody stops one
pub struct Cluster {
    /// Names the database to connect to for creating others.
    pub url: Url,
    binaries: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    settings: String,
}

#[allow(dead_code)]
impl Cluster {
    /// One besides that of the other tests, to be stopped; `None` where there is no PostgreSQL.
    pub fn another() -> Option<Self> {
        Some(Self::start(&binaries()?, None).expect("a PostgreSQL cluster of our own starts"))
    }

    /// One more, on a disk of so many megabytes; `None` where one may not mount, or there is no PostgreSQL.
    pub fn on_a_small_disk(megabytes: u32) -> Option<Self> {
        Self::start(&binaries()?, Some(megabytes)).ok()
    }

    /// Where its data lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it if it can, with what is left of it.
    pub fn try_to_start(&self) -> bool {
        let arguments = ["start", "-w", "-s", "-t", "5", "-l", "log", "-o", &self.settings];
        self.run("pg_ctl", &arguments).unwrap()
    }

    /// Ends every process of it at once, as a crash does.
    pub fn stop_at_once(&self) {
        assert!(self.run("pg_ctl", &["stop", "-s", "-m", "immediate"]).unwrap(), "it stops");
    }

    /// Starts it again, where it was.
    pub fn start_again(&self) {
        let arguments = ["start", "-w", "-s", "-l", "log", "-o", &self.settings];
        assert!(self.run("pg_ctl", &arguments).unwrap(), "it starts");
    }

    /// A fresh database.
    pub async fn database(&self) -> Database {
        database_on(&self.url).await
    }

    fn start(binaries: &Path, disk: Option<u32>) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("switchboard-pg-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&folder)?;
        let guard = guard(&folder)?;
        if let Some(megabytes) = disk {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(&folder);
            if !mount.output()?.status.success() {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        // PostgreSQL refuses to run as root.
        let user = if Uid::effective().is_root() {
            let find = |name| User::from_name(name).ok().flatten();
            Some(find("postgres").or_else(|| find("nobody")).ok_or(io::ErrorKind::NotFound)?)
        } else {
            None
        };
        if let Some(user) = &user {
            chown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let url = Url::parse("postgres://postgres@127.0.0.1/postgres").map_err(io::Error::other)?;
        let binaries = binaries.to_owned();
        let mut cluster = Self { url, binaries, folder, user, settings: String::new() };
        let initialised = cluster
            .run("initdb", &["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])?;
        for _ in 0..5 {
            if !initialised {
                break;
            }
            // Somebody may take the port between our look and PostgreSQL's: then another one.
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let socket = cluster.folder.display();
            let (fsync, wal) = if DURABLE.load(Ordering::Relaxed) { ("on", "1GB") } else { ("off", "256MB") };
            cluster.settings = format!(
                "-h 127.0.0.1 -p {port} -k {socket} -c fsync={fsync} -c synchronous_commit=on \
                 -c max_connections=200 -c max_wal_size={wal}"
            );
            if cluster.run("pg_ctl", &["start", "-w", "-s", "-l", "log", "-o", &cluster.settings])? {
                // Its stdin is what tells it that we live.
                std::mem::forget(guard);
                cluster.url.set_port(Some(port)).map_err(|()| io::ErrorKind::InvalidInput)?;
                return Ok(cluster);
            }
        }
        Err(io::Error::other("initdb or pg_ctl failed; see above"))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<bool> {
        let mut command = Command::new(self.binaries.join(program));
        command.args(arguments).arg("-D").arg(self.folder.join("data"));
        // The server must not keep our output open, nor get the terminal's Ctrl-C.
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.status().map(|status| status.success())
    }
}

/// Stops the cluster and removes its folder when this process ends, even by a panic or `kill -9`: it waits for
/// the end of a pipe that only we hold open.
fn guard(folder: &Path) -> io::Result<Child> {
    // More than once, since `initdb` or the start may be still under way.
    const SCRIPT: &str = r#"
        cat >/dev/null
        for _ in 1 2 3 4 5; do
            server=$(head -n 1 "$1/data/postmaster.pid") && kill -QUIT "$server"
            sleep 0.3
            ! mountpoint -q "$1" || umount -l "$1"
            rm -rf "$1"
        done
    "#;
    Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}
