//! The frame of the page: views, width, light and dark, the keyboard, a service that goes away.

use crate::browser::Browser;
use crate::daemon::{Daemon, Setup};

/// The views by their names in the menu, with what each shows in any case.
const VIEWS: [(&str, &str); 10] = [
    ("Overview", "Funnel since the start"),
    ("Torrents", "No torrent is stored yet"),
    ("Ask for hashes", "Nothing was asked for in this tab yet"),
    ("Sources and queue", "Nothing waits."),
    ("Failed", "No hash is left alone for a failure now"),
    ("Peers", "No peer is known"),
    ("Diagnose", "Hash or magnet"),
    ("Blocklist", "No hash is blocked"),
    ("Settings", "[api]"),
    ("Health", "Ready to work"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_view_is_shown_without_a_complaint_and_asks_nobody_else() {
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("")).await;
    browser
        .until("document.querySelector('#connection').textContent === 'Live'")
        .await;
    for (name, shown) in VIEWS {
        browser.click(name).await;
        browser
            .until(&format!(
                "document.querySelector('h1').textContent === '{name}'"
            ))
            .await;
        browser.sees(shown).await;
        browser
            .until("!document.querySelector('main [aria-busy]')")
            .await;
        assert_eq!(
            browser
                .run("document.querySelectorAll('.problem:not([hidden])').length")
                .await,
            0,
            "{name}"
        );
    }
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
    let origin = daemon.origin();
    let elsewhere = browser.requests().into_iter().filter(|url| {
        !url.starts_with(&origin) && url != "about:blank" && !url.starts_with("data:")
    });
    assert_eq!(elsewhere.collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_scrolls_down_only() {
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(320, 640).await;
    for view in [
        "",
        "torrents",
        "ask",
        "queue",
        "failed",
        "peers",
        "diagnose",
        "blocklist",
        "settings",
        "health",
    ] {
        browser.open("about:blank").await;
        browser.open(&daemon.page(&format!("#/{view}"))).await;
        browser
            .until("document.querySelector('h1') && !document.querySelector('main [aria-busy]')")
            .await;
        let width = browser.run("document.documentElement.scrollWidth").await;
        assert!(width.as_u64().unwrap() <= 320, "{view}: {width}");
    }
    // The menu is behind its button there.
    let is_shown = "document.querySelector('#menu a').checkVisibility()";
    assert_eq!(browser.run(is_shown).await, false);
    browser.click("Menu").await;
    assert_eq!(browser.run(is_shown).await, true);
    browser.click("Peers").await;
    browser
        .until("document.querySelector('h1').textContent === 'Peers'")
        .await;
    assert_eq!(browser.run(is_shown).await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn light_and_dark_follow_the_system_until_they_are_chosen() {
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("")).await;
    let is_dark = "(() => {
        const parts = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
        return parts[0] + parts[1] + parts[2] < 200;
    })()";
    browser.prefer("prefers-color-scheme", "dark").await;
    assert_eq!(browser.run(is_dark).await, true);
    browser.prefer("prefers-color-scheme", "light").await;
    assert_eq!(browser.run(is_dark).await, false);
    let button = "document.querySelector('#theme-button')";
    for (theme, dark) in [("light", false), ("dark", true)] {
        browser.run(&format!("{button}.click()")).await;
        assert_eq!(
            browser.run(&format!("{button}.textContent")).await,
            format!("Theme: {theme}")
        );
        assert_eq!(browser.run(is_dark).await, dark);
    }
    // The choice stays.
    browser.reload().await;
    browser
        .until(&format!("{button}.textContent === 'Theme: dark'"))
        .await;
    assert_eq!(browser.run(is_dark).await, true);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_everything_and_shows_where_it_is() {
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("#/ask")).await;
    browser.sees("Hashes or magnets, one a line").await;
    let focused = "(() => {
        const node = document.activeElement;
        const outline = getComputedStyle(node);
        return [node.tagName, node.textContent.trim().slice(0, 40) || node.name, outline.outlineStyle !== 'none'];
    })()";
    let mut reached = Vec::new();
    for _ in 0..40 {
        browser.press("Tab").await;
        let at = browser.run(focused).await;
        let name = at[1].as_str().unwrap_or_default().to_owned();
        if at[0] == "BODY" {
            break;
        }
        assert_eq!(at[2], true, "the focus can't be seen: {at}");
        reached.push(name);
    }
    assert_eq!(
        reached.first().map(String::as_str),
        Some("Skip to the content")
    );
    for (name, _) in VIEWS {
        assert!(
            reached.iter().any(|reached| reached == name),
            "{name}: {reached:?}"
        );
    }
    assert!(reached.iter().any(|name| name == "Ask"), "{reached:?}");

    // The skip link leads past the menu.
    browser.open("about:blank").await;
    browser.open(&daemon.page("#/ask")).await;
    browser.sees("Hashes or magnets, one a line").await;
    browser.press("Tab").await;
    browser.press("Enter").await;
    browser.press("Tab").await;
    browser
        .until("document.activeElement.tagName === 'TEXTAREA'")
        .await;
    browser.write("no hash").await;
    // To the priority, to the button.
    browser.press("Tab").await;
    browser.press("Tab").await;
    browser.press("Enter").await;
    browser.sees("1 of 1 lines are no hash and no magnet").await;
    // What is wrong gets the focus.
    browser
        .until("document.activeElement.getAttribute('aria-invalid') === 'true'")
        .await;

    // A dialog opens, keeps the focus, and closes by Escape.
    browser
        .run("document.querySelector('#token-button').focus()")
        .await;
    browser.press("Enter").await;
    browser
        .until("document.activeElement.id === 'token-input'")
        .await;
    browser.press("Escape").await;
    browser.until("!document.querySelector('#token-dialog').open && document.activeElement.id === 'token-button'").await;
    assert_eq!(browser.complaints(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_has_a_label_and_every_table_its_heads() {
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("")).await;
    for (name, shown) in VIEWS {
        browser.click(name).await;
        browser.sees(shown).await;
        let nameless = browser
            .run(
                "[...document.querySelectorAll('main input, main select, main textarea')]
                    .filter((field) => field.labels.length === 0).map((field) => field.outerHTML)",
            )
            .await;
        assert_eq!(nameless, serde_json::json!([]), "{name}");
        let bad = browser
            .run(
                "[...document.querySelectorAll('main table')]
                    .filter((table) => !table.caption || !table.querySelector('th[scope=col]')).length",
            )
            .await;
        assert_eq!(bad, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_goes_away_is_told() {
    let mut daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("")).await;
    browser
        .until("document.querySelector('#connection').textContent === 'Live'")
        .await;
    daemon.kill().await;
    browser
        .until("document.querySelector('#connection').textContent.includes('does not answer')")
        .await;
    browser.click("Peers").await;
    browser.sees("See whether it runs").await;
    browser.sees("Try again").await;
}
