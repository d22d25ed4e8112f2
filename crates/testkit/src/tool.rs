use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What `tests/setup/install.sh` installs, and a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Postgres,
    RabbitMq,
    Redis,
    N8n,
    Odoo,
    Schemathesis,
    Browser,
}

impl Tool {
    /// The name under which `install.sh` records why it could not install the tool.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
            Self::Redis => "redis",
            Self::N8n => "n8n",
            Self::Odoo => "odoo",
            Self::Schemathesis => "schemathesis",
            Self::Browser => "browser",
        }
    }

    /// The program that a test starts: for PostgreSQL the newest of several, for the browser its driver.
    pub fn find(self) -> Option<PathBuf> {
        let file = match self {
            Self::Postgres => return newest_postgres(),
            Self::RabbitMq => PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server"),
            Self::Redis => PathBuf::from("/usr/bin/redis-server"),
            Self::N8n => in_cache("n8n")?.join("bin/n8n"),
            Self::Odoo => in_cache("odoo")?.join("bin/odoo"),
            Self::Schemathesis => in_cache("schemathesis")?.join("bin/schemathesis"),
            Self::Browser => PathBuf::from("/usr/bin/chromedriver"),
        };
        file.exists().then_some(file)
    }

    fn why_missing(self) -> String {
        let reason = cache().and_then(|cache| fs::read_to_string(cache.join("missing").join(self.name())).ok());
        match reason {
            Some(reason) => format!("{} ({})", self.name(), reason.trim()),
            None => format!("{} (run tests/setup/install.sh)", self.name()),
        }
    }
}

/// The folder of `install.sh`, shared by all clones of one user.
fn cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    Some(base.join("steward"))
}

/// The folder of a tool there. The stamp is written last: without it the installation is unfinished.
fn in_cache(tool: &str) -> Option<PathBuf> {
    cache().map(|cache| cache.join(tool)).filter(|folder| folder.join("stamp").exists())
}

fn newest_postgres() -> Option<PathBuf> {
    let version = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path());
    let newest =
        installed.filter(|folder| folder.join("bin/postgres").exists()).max_by_key(|folder| version(folder))?;
    Some(newest.join("bin/postgres"))
}

/// Says whether all tools are there. If not, prints one loud line and appends it to the file named by
/// `STEWARD_SKIPPED`, because a test runner hides the output of a test that passes.
///
/// # Panics
/// With `CI=true`: in CI a skipped test is a failed one.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen by whoever runs it")]
pub fn all_installed(tools: &[Tool]) -> bool {
    let missing: Vec<String> =
        tools.iter().filter(|tool| tool.find().is_none()).map(|tool| tool.why_missing()).collect();
    if missing.is_empty() {
        return true;
    }
    // libtest names the thread of a test after the test.
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("*** SKIPPED {test}: not installed: {} ***", missing.join(", "));
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
    eprintln!("{line}");
    if let Some(file) = std::env::var_os("STEWARD_SKIPPED")
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(file)
    {
        let _ = writeln!(file, "{line}");
    }
    false
}

/// What a test returns when [`require!`](crate::require) skips it.
pub trait Skipped {
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// First line of a test: `require!(Postgres, N8n);` returns from the test, loudly, where one of them is not installed.
#[macro_export]
macro_rules! require {
    ($($tool:ident),+ $(,)?) => {
        if !$crate::all_installed(&[$($crate::Tool::$tool),+]) {
            return $crate::Skipped::skipped();
        }
    };
}
