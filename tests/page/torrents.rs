//! What is stored: search, details, files; and names that are made to harm.

use crate::browser::Browser;
use crate::daemon::{Daemon, Setup};

/// A `.torrent` file of one piece, with these files of 1,000 bytes.
fn torrent(name: &str, files: &[Vec<String>]) -> Vec<u8> {
    let mut text = b"d4:infod5:filesl".to_vec();
    for path in files {
        text.extend_from_slice(b"d6:lengthi1000e4:pathl");
        for part in path {
            text.extend_from_slice(format!("{}:{part}", part.len()).as_bytes());
        }
        text.extend_from_slice(b"ee");
    }
    text.extend_from_slice(format!("e4:name{}:{name}", name.len()).as_bytes());
    text.extend_from_slice(b"12:piece lengthi134217728e6:pieces20:aaaaaaaaaaaaaaaaaaaaee");
    text
}

fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_torrent_is_found_and_shown_with_its_files() {
    let files = [
        path(&["readme.txt"]),
        path(&["disc 1", "01 overture.flac"]),
        path(&["disc 1", "02 aria.flac"]),
    ];
    let setup = Setup {
        torrents: vec![
            torrent("Goldberg variations", &files),
            torrent("Something else", &files[..1]),
        ],
        ..Setup::default()
    };
    let daemon = Daemon::start(setup).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("#/torrents")).await;
    browser.sees("2 on this page").await;
    browser.fill("main input[type=search]", "goldberg").await;
    browser.press("Enter").await;
    browser
        .until("location.hash === '#/torrents?q=goldberg'")
        .await;
    browser.sees("1 on this page").await;
    browser.sees("Goldberg variations").await;
    assert_eq!(
        browser
            .run("document.body.innerText.includes('Something else')")
            .await,
        false
    );
    browser.click("Goldberg variations").await;
    browser
        .until("document.querySelector('h1').textContent === 'Goldberg variations'")
        .await;
    browser.sees("Files (3)").await;
    browser.sees("readme.txt").await;
    assert_eq!(
        browser
            .run("document.body.innerText.includes('02 aria.flac')")
            .await,
        false
    );
    browser
        .run("document.querySelector('button.folder').click()")
        .await;
    browser.sees("02 aria.flac").await;

    // Its magnet and its file.
    let hash = browser.run("location.hash.split('/')[2]").await;
    let hash = hash.as_str().unwrap();
    assert_eq!(hash.len(), 40);
    let magnet = browser
        .run("document.querySelector('main a[href^=\"magnet:\"]').href")
        .await;
    assert!(magnet.as_str().unwrap().contains(hash), "{magnet}");
    let saved = browser
        .run("fetch([...document.querySelectorAll('main a')].find((link) => link.textContent === 'Save .torrent').href).then((answer) => answer.text())")
        .await;
    assert!(
        saved.as_str().unwrap().contains("Goldberg variations"),
        "{saved}"
    );

    // Back leads back.
    browser.run("history.back()").await;
    browser.sees("1 on this page").await;
    browser.run("history.back()").await;
    browser.sees("2 on this page").await;
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_text_whatever_they_say() {
    let markup = "<img src=x onerror=alert(1)><script>document.title='taken'</script>";
    let turned = "invoice_\u{202e}fdp.exe";
    let long = "long ".repeat(5_000);
    let files = [
        path(&[markup]),
        path(&["<b>bold</b>", "\u{202e}txt.exe"]),
        path(&["'\"--><svg onload=alert(2)>"]),
    ];
    let setup = Setup {
        torrents: vec![
            torrent(markup, &files),
            torrent(turned, &files),
            torrent(&long, &files),
        ],
        ..Setup::default()
    };
    let daemon = Daemon::start(setup).await;
    let browser = Browser::start(320, 640).await;
    browser.open(&daemon.page("#/torrents")).await;
    browser.sees("3 on this page").await;
    browser.sees("onerror=alert(1)").await;
    browser.sees("invoice_[U+202E]fdp.exe").await;
    let width = "document.documentElement.scrollWidth <= 320";
    assert_eq!(browser.run(width).await, true);
    for name in ["onerror=alert(1)", "invoice_", "long long"] {
        browser.open("about:blank").await;
        browser.open(&daemon.page("#/torrents")).await;
        let link = format!(
            "[...document.querySelectorAll('main a.name')].find((link) => link.textContent.includes('{name}'))"
        );
        browser.until(&link).await;
        browser.run(&format!("{link}.click()")).await;
        browser.sees("Files (3)").await;
        browser
            .run("for (const folder of document.querySelectorAll('button.folder')) folder.click()")
            .await;
        // A name has no slash.
        browser.sees("<b>bold<_b>").await;
        browser.sees("[U+202E]txt.exe").await;
        assert_eq!(browser.run(width).await, true, "{name}");
        let made = browser
            .run("document.querySelectorAll('main img, main script, main b, main svg').length")
            .await;
        assert_eq!(made, 0, "{name}");
        let title = browser.run("document.title").await;
        assert!(title.as_str().unwrap().ends_with("– metafetch"), "{title}");
        assert!(title.as_str().unwrap().chars().count() < 120, "{title}");
    }
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_thousand_files_only_some_are_drawn() {
    let files: Vec<_> = (0..50_000)
        .map(|number| path(&[&format!("{number:05}.bin")]))
        .collect();
    let setup = Setup {
        torrents: vec![torrent("Many", &files)],
        ..Setup::default()
    };
    let daemon = Daemon::start(setup).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("#/torrents")).await;
    browser.click("Many").await;
    browser.sees("Files (50,000)").await;
    let drawn = "document.querySelectorAll('.tree li').length";
    assert_eq!(browser.run(drawn).await, 200);
    browser.click("Show 200 more of 49,800").await;
    assert_eq!(browser.run(drawn).await, 400);
    browser.fill("#file-filter", "49999").await;
    browser.sees("1 of 50,000 files").await;
    browser.sees("49999.bin").await;
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
}
