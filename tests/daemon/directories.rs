//! Watched directories: what is taken in, what is left alone, and the names of files after that.

use std::io::Write as _;

use metafetch::torrent::torrent_file;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::running::{Home, until};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

#[tokio::test]
async fn magnets_lists_and_torrents_are_taken_in_and_all_else_is_left_or_put_aside() {
    let swarm = Swarm::start(73);
    let torrents: Vec<_> = (0..2)
        .map(|number| TestTorrent::v1(73_000 + number, 2_000))
        .collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = Home::new("");
    let file = |name: &str| home.path("in").join(name);
    // Links and pipes first: they must hold nobody up.
    std::os::unix::fs::symlink("/etc/passwd", file("link.txt")).unwrap();
    mknodat(
        CWD,
        file("pipe.txt"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    let running = home.start().await;
    home.put("one.MAGNET", torrents[0].magnet(&[peer], &[]));
    let list = format!("# a list\nnonsense\n{}\n", torrents[1].magnet(&[peer], &[]));
    home.put("list.txt", list);
    let stored = TestTorrent::v1(73_100, 2_000);
    home.put("file.torrent", torrent_file(&stored.info, &[], None));
    home.put("bad.torrent", "d4:infoi1ee");
    home.put("bad.txt", "nonsense\n");
    home.put("other.pdf", "x");
    home.put(".hidden.txt", "nonsense\n");
    let is_done = || home.resolved() == 3 && home.wanted() == 0;
    until(is_done, || running.stderr()).await;
    for name in [
        "one.MAGNET.done",
        "list.txt.done",
        "file.torrent.done",
        "bad.torrent.failed",
        "bad.txt.failed",
        "link.txt",
        "pipe.txt",
        "other.pdf",
        ".hidden.txt",
    ] {
        let is_there = || file(name).symlink_metadata().is_ok();
        until(is_there, || format!("{name} in\n{}", running.stderr())).await;
    }
}

#[tokio::test]
async fn a_file_that_grows_is_taken_in_once_it_is_whole() {
    let swarm = Swarm::start(74);
    let torrents: Vec<_> = (0..4)
        .map(|number| TestTorrent::v1(74_000 + number, 2_000))
        .collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = Home::new("");
    let running = home.start().await;
    let path = home.path("in").join("slow.txt");
    let mut file = std::fs::File::create(&path).unwrap();
    for torrent in &torrents {
        // Half a magnet is a wrong line, or another hash.
        let line = format!("{}\n", torrent.magnet(&[peer], &[]));
        let (half, rest) = line.split_at(30);
        file.write_all(half.as_bytes()).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        file.write_all(rest.as_bytes()).unwrap();
    }
    drop(file);
    until(|| home.resolved() == 4, || running.stderr()).await;
    running.says("slow.txt was taken in: 4 hashes").await;
    assert!(
        !running.stderr().contains("neither"),
        "{}",
        running.stderr()
    );
}

#[tokio::test]
async fn lines_that_come_after_a_pause_are_not_lost() {
    let swarm = Swarm::start(75);
    let torrents: Vec<_> = (0..2)
        .map(|number| TestTorrent::v1(75_000 + number, 2_000))
        .collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = Home::new("");
    let running = home.start().await;
    let path = home.path("in").join("late.txt");
    let mut file = std::fs::File::create(&path).unwrap();
    let lines = torrents
        .iter()
        .map(|torrent| format!("{}\n", torrent.magnet(&[peer], &[])));
    for (line, resolved) in lines.zip(1..) {
        file.write_all(line.as_bytes()).unwrap();
        // Its writer has it open, and its name changes meanwhile.
        let is_done = || home.path("in").join("late.txt.done").is_file();
        until(is_done, || running.stderr()).await;
        until(|| home.resolved() == resolved, || running.stderr()).await;
    }
    running
        .says("late.txt.done was written to after it was renamed")
        .await;
}
