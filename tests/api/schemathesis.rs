//! The document and the API agree, as schemathesis finds out by thousands of requests that it makes up.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use metafetch::config::{ApiToken, Scope};
use tokio::process::Command;

use crate::home::Home;

/// Where `scripts/setup test` installs it.
fn program() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    let program = target.join("schemathesis/venv/bin/st");
    program.is_file().then_some(program)
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let Some(program) = program() else {
        eprintln!(
            "\n*** SKIPPED: schemathesis is not installed: `scripts/setup test` installs it ***\n"
        );
        return;
    };
    let (token, kept) = ApiToken::generate(Scope::Admin);
    let home = Home::with(&format!("tokens = [\"{kept}\"]\nwait = \"2s\"")).await;
    let directory = tempfile::tempdir().unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/schemathesis.toml");
    let run = Command::new(program)
        .arg("--no-color")
        .arg("--config-file")
        .arg(config)
        .args(["run", &format!("http://{}/openapi.json", home.at)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        // It never ends.
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--suppress-health-check", "all", "--request-timeout", "20"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
}
