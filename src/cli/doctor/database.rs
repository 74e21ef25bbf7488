//! Whether the database opens, is ours and up to date, can be written to, and is sound at a quick look.

use super::Finding;
use crate::store::{Examined, StoreError, StoreUrl};

/// A larger SQLite file is not read through: that is what `db check` is for.
const CHECK_BELOW: u64 = 1 << 30;

/// The finding, and the latest time in the store.
pub(super) async fn check(url: Option<StoreUrl>) -> (Finding, Option<i64>) {
    let Some(url) = url else {
        return (Finding::ok("database", "none (--store none)"), None);
    };
    if let StoreUrl::Sqlite(path) = &url
        && !path.exists()
    {
        return (missing(path), None);
    }
    let name = url.to_string();
    let examined = tokio::task::spawn_blocking(move || Examined::of(&url, CHECK_BELOW)).await;
    match examined {
        Ok(Ok(examined)) => {
            let latest_ms = examined.latest_ms;
            (judge(&name, &examined), latest_ms)
        }
        Ok(Err(error)) => {
            let advice = match &error {
                StoreError::Locked { .. } => {
                    "another process writes: if it never ends, find it with `fuser` and end it"
                }
                StoreError::Corrupt { .. } => {
                    "restore a copy, or see what `metafetch db check` and `db export` still get out"
                }
                _ => "see docs/store.md for what each database needs",
            };
            (Finding::fail("database", error.to_string(), advice), None)
        }
        Err(error) => (Finding::fail("database", error.to_string(), ""), None),
    }
}

/// What is made at the first run needs a directory that can be written to.
fn missing(path: &std::path::Path) -> Finding {
    let directory = path
        .ancestors()
        .skip(1)
        .find(|directory| directory.is_dir())
        .unwrap_or(std::path::Path::new("."));
    let probe = tempfile::Builder::new()
        .prefix(".metafetch-")
        .tempfile_in(directory);
    let shown = path.display();
    match probe {
        Ok(_) => Finding::ok("database", format!("`{shown}` is made at the first run")),
        Err(error) => Finding::fail(
            "database",
            format!(
                "`{shown}` can't be made: {} can't be written to: {error}",
                directory.display()
            ),
            "choose another --store, or change the directory's owner",
        ),
    }
}

fn judge(name: &str, examined: &Examined) -> Finding {
    let size = indicatif::HumanBytes(examined.bytes);
    if let Some(damage) = examined.damage.as_ref().filter(|damage| !damage.is_empty()) {
        return Finding::fail(
            "database",
            format!("`{name}` is damaged: {}", damage.join("; ")),
            "stop whatever uses it, copy it, then `metafetch db check --repair`",
        );
    }
    let pending = examined.schema.pending.len();
    if pending > 0 {
        return Finding::warn(
            "database",
            format!(
                "`{name}` opens and can be written to, but its schema is {pending} steps behind"
            ),
            "`metafetch db migrate` brings it up to date; so does the next run",
        );
    }
    let looked = if examined.damage.is_some() {
        "sound at a quick look"
    } else {
        "not looked through (`metafetch db check` does)"
    };
    Finding::ok(
        "database",
        format!("`{name}` opens, can be written to, {size}, {looked}"),
    )
}
