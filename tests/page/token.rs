//! Where the service has tokens, the page asks for one.

use sha2::{Digest as _, Sha256};

use crate::browser::Browser;
use crate::daemon::{Daemon, Setup};

const READ: &str = "a-token-that-may-read-00000000000000000000";
const ADMIN: &str = "a-token-that-may-all-000000000000000000000";

fn digest(token: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(token))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_kept_in_the_tab_and_can_be_changed() {
    let setup = Setup {
        api: format!(
            "tokens = [\"read:{}\", \"admin:{}\"]",
            digest(READ),
            digest(ADMIN)
        ),
        ..Setup::default()
    };
    let daemon = Daemon::start(setup).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("#/peers")).await;
    browser
        .until("document.querySelector('#token-dialog').open")
        .await;
    browser.fill("#token-input", "wrong").await;
    browser.press("Enter").await;
    browser.sees("The service does not know this token.").await;
    browser.fill("#token-input", READ).await;
    browser.press("Enter").await;
    browser.sees("No peer is known").await;
    browser
        .until("document.querySelector('#connection').textContent === 'Live'")
        .await;

    // It stays in the tab alone, and in no address.
    assert_eq!(browser.run("localStorage.length").await, 0);
    assert_eq!(browser.run("document.cookie").await, "");
    assert!(browser.requests().iter().all(|url| !url.contains(READ)));
    browser.reload().await;
    browser.sees("No peer is known").await;
    assert_eq!(
        browser
            .run("document.querySelector('#token-dialog').open")
            .await,
        false
    );

    // What it may not do is told.
    browser.click("Blocklist").await;
    browser
        .sees("This needs a token with the admin scope.")
        .await;
    browser.click("Token").await;
    browser.fill("#token-input", ADMIN).await;
    browser.press("Enter").await;
    browser.sees("No hash is blocked.").await;
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
}
