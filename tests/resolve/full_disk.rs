//! A full disk: on a file system of its own, as small as the test wants it.

use std::path::Path;

use crate::command::Resolve;
use crate::swarm::{Behaviour, Swarm, TestTorrent};

/// Runs `resolve` with a file system of that size at `directory`. `None` where this system lets an
/// ordinary user mount nothing, not even in a namespace of his own.
async fn run_on_small_disk(
    directory: &Path,
    kilobytes: u32,
    resolve: &Resolve,
) -> Option<(i32, String, String)> {
    let command = resolve.command();
    let script = r#"mount -t tmpfs -o size="$1"k none "$2" || exit 77; shift 2; exec "$@""#;
    let mut unshare = tokio::process::Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let output = unshare
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(kilobytes.to_string())
        .arg(directory)
        .arg(command.as_std().get_program())
        .args(command.as_std().get_args())
        .current_dir(directory.parent().unwrap())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    if stderr.contains("Operation not permitted") && stdout.is_empty() {
        eprintln!("not tested: this user may not mount anything: {stderr}");
        return None;
    }
    Some((output.status.code().unwrap(), stdout, stderr))
}

/// What was fetched and can't be stored is kept elsewhere, and said.
#[tokio::test]
async fn what_a_full_store_cannot_take_is_rescued() {
    let swarm = Swarm::start(61);
    let torrents: Vec<_> = (0..40).map(|n| TestTorrent::v1(n, 60_000)).collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = tempfile::tempdir().unwrap();
    let small = home.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let resolve = Resolve::new().store(&small.join("metafetch.db")).peer(peer);
    let resolve = torrents
        .iter()
        .fold(resolve, |resolve, torrent| resolve.arg(torrent.hex()));

    let Some((code, stdout, stderr)) = run_on_small_disk(&small, 900, &resolve).await else {
        return;
    };
    assert_eq!(code, 1, "{stderr}");
    let resolved = stdout
        .lines()
        .filter(|line| line.contains(r#""status":"resolved""#))
        .count();
    assert_eq!(resolved, 40, "{stdout}\n{stderr}");
    assert_eq!(
        stderr.matches("results can't be stored: ").count(),
        1,
        "{stderr}"
    );
    assert!(
        stderr.contains("disk") && stderr.contains("not stored"),
        "{stderr}"
    );
    let rescued = std::fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("metafetch-rescued-"))
        .expect(&stderr);
    let rescued = std::fs::read_dir(rescued).unwrap().count();
    let not_stored = stderr
        .split(" not stored")
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap();
    assert_eq!(rescued.to_string(), not_stored, "{stderr}");
    assert!((1..=40).contains(&rescued));
}

/// Files that can't be written are said once, and the store still has what they would hold.
#[tokio::test]
async fn a_full_output_directory_leaves_the_results_in_the_store() {
    let swarm = Swarm::start(62);
    let torrents: Vec<_> = (50..60).map(|n| TestTorrent::v1(n, 60_000)).collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = tempfile::tempdir().unwrap();
    let small = home.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let store = home.path().join("metafetch.db");
    let all = |resolve: Resolve| {
        torrents
            .iter()
            .fold(resolve, |r, torrent| r.arg(torrent.hex()))
    };

    let resolve = all(Resolve::new().store(&store).peer(peer).out(&small));
    let Some((code, stdout, stderr)) = run_on_small_disk(&small, 200, &resolve).await else {
        return;
    };
    assert_eq!((code, stdout.lines().count()), (1, 10), "{stderr}");
    assert_eq!(
        stderr.matches(".torrent can't be written: ").count(),
        1,
        "{stderr}"
    );
    assert!(stderr.contains(" not written"), "{stderr}");

    let out = home.path().join("out");
    let again = all(Resolve::new().store(&store).out(&out)).run().await;
    assert_eq!(again.code, 0, "{again:#?}");
    assert!(again.lines().iter().all(|line| line["arm"] == "store"));
    assert_eq!(std::fs::read_dir(out).unwrap().count(), 10);
}
