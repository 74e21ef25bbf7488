//! Chromium, worked through the protocol of its developer tools: JSON messages over a pipe, each with a zero byte at its end.
//!
//! The pipe needs no port and no library: the browser reads from its file descriptor 3 and writes to 4.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long the browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(40);

/// Names that Chromium goes by.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// What has come from the browser.
#[derive(Debug, Default)]
struct Heard {
    answers: HashMap<u64, oneshot::Sender<Value>>,
    requests: Vec<String>,
    complaints: Vec<String>,
}

/// A browser with one page.
pub(crate) struct Browser {
    input: tokio::sync::Mutex<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    next: AtomicU64,
    session: String,
    _process: Child,
    _home: tempfile::TempDir,
}

impl Browser {
    /// Starts one with an empty profile, and a page of this size in pixels.
    pub(crate) async fn start(width: u32, height: u32) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = NAMES
            .iter()
            .find(|name| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
            .expect("Chromium is installed by `scripts/setup test`");
        // The shell makes the descriptors 3 and 4 of those that it was given.
        let mut process = Command::new("sh")
            .args([
                "-c",
                r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#,
                program,
            ])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-default-apps",
                "--disable-extensions",
                "--disable-sync",
                "--disable-search-engine-choice-screen",
                // No name is ever looked up, and no other host reached.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ])
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        tokio::spawn(read(process.stdout.take().unwrap(), heard.clone()));
        let mut browser = Self {
            input: tokio::sync::Mutex::new(process.stdin.take().unwrap()),
            heard,
            next: AtomicU64::new(1),
            session: String::new(),
            _process: process,
            _home: home,
        };
        let page = json!({ "url": "about:blank" });
        let target = browser.command("Target.createTarget", page).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.command("Target.attachToTarget", attach).await;
        session["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser
                .command(&format!("{domain}.enable"), json!({}))
                .await;
        }
        browser.resize(width, height).await;
        browser
    }

    /// Makes the page this large, in pixels.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.command("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// Tells the page that its user prefers this, as in `prefers-color-scheme: dark`.
    pub(crate) async fn prefer(&self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.command("Emulation.setEmulatedMedia", features).await;
    }

    /// Opens an address.
    pub(crate) async fn open(&self, url: &str) {
        let answer = self.command("Page.navigate", json!({ "url": url })).await;
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.until("document.readyState === 'complete'").await;
    }

    /// Loads the page once more.
    pub(crate) async fn reload(&self) {
        // The old page goes on for a while.
        self.run("(window.isOld = true, location.reload())").await;
        self.until("!window.isOld && document.readyState === 'complete'")
            .await;
    }

    /// Runs a script, and gives its value; waits for it where it is a promise.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let arguments = json!({ "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.command("Runtime.evaluate", arguments).await;
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// Runs a script, and does not wait for its promise.
    pub(crate) async fn start_script(&self, script: &str) {
        self.run(&format!("void {script}")).await;
    }

    /// Waits until a script gives something true.
    pub(crate) async fn until(&self, script: &str) {
        self.until_within(script, PATIENCE.as_secs()).await;
    }

    /// The same, for so many seconds.
    pub(crate) async fn until_within(&self, script: &str, seconds: u64) {
        let start = Instant::now();
        // A page that is being replaced has no answer.
        let guarded = format!(
            "(() => {{ try {{ return Boolean({script}); }} catch {{ return false; }} }})()"
        );
        while !self.holds(&guarded).await {
            if start.elapsed().as_secs() >= seconds {
                let text = self.run("document.body.innerText.slice(0, 4000)").await;
                let complaints = self.complaints();
                panic!("{script}: not so after {seconds} s; {complaints:#?}; the page: {text}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether a script gives `true`; it does not where its page goes away meanwhile.
    async fn holds(&self, script: &str) -> bool {
        let arguments = json!({ "expression": script, "returnByValue": true });
        let answer = self.answer("Runtime.evaluate", arguments).await;
        answer["result"]["result"]["value"] == true
    }

    /// What the page looks like, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let answer = self
            .command("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        let text = answer["data"].as_str().unwrap();
        data_encoding::BASE64.decode(text.as_bytes()).unwrap()
    }

    /// Waits until the page shows this text.
    pub(crate) async fn sees(&self, text: &str) {
        let text = json!(text);
        self.until(&format!("document.body.innerText.includes({text})"))
            .await;
    }

    /// Clicks on what has this text: the first button, link or summary that can be seen.
    pub(crate) async fn click(&self, text: &str) {
        let find = format!(
            "[...document.querySelectorAll('button, a, summary')]
                .find((node) => node.checkVisibility() && node.textContent.trim() === {})",
            json!(text)
        );
        self.until(&find).await;
        self.run(&format!("({find}).click()")).await;
    }

    /// Writes into a field, as a user does.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let selector = json!(selector);
        self.until(&format!("document.querySelector({selector})"))
            .await;
        self.run(&format!(
            "(() => {{ const field = document.querySelector({selector}); field.focus(); field.select(); }})()"
        ))
        .await;
        self.write(text).await;
    }

    /// Writes into what has the focus.
    pub(crate) async fn write(&self, text: &str) {
        self.command("Input.insertText", json!({ "text": text }))
            .await;
    }

    /// Presses and releases a key: `Tab`, `Enter`, `Escape` or `Space`.
    pub(crate) async fn press(&self, key: &str) {
        let (key, code, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            "Escape" => ("Escape", 27, ""),
            "Space" => (" ", 32, " "),
            other => panic!("no such key: {other}"),
        };
        let code_name = if key == " " { "Space" } else { key };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": code_name, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.command("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Addresses that were asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.heard.lock().unwrap().requests.clone()
    }

    /// Errors and warnings of the console, faults of scripts, and questions that a page put.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.heard.lock().unwrap().complaints.clone()
    }

    async fn command(&self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params).await;
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    async fn answer(&self, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let (sender, receiver) = oneshot::channel();
        self.heard.lock().unwrap().answers.insert(id, sender);
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let mut input = self.input.lock().await;
        input.write_all(&bytes).await.expect("the browser runs");
        input.flush().await.unwrap();
        drop(input);
        let answer = timeout(PATIENCE, receiver)
            .await
            .expect("the browser answers");
        answer.expect("the browser runs")
    }
}

/// Takes what comes until the browser ends.
async fn read(output: ChildStdout, heard: Arc<Mutex<Heard>>) {
    let mut output = BufReader::new(output);
    loop {
        let mut bytes = Vec::new();
        if output.read_until(0, &mut bytes).await.unwrap_or(0) == 0 {
            heard.lock().unwrap().answers.clear();
            return;
        }
        let _ = bytes.pop();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let mut heard = heard.lock().unwrap();
        if let Some(id) = message["id"].as_u64() {
            if let Some(sender) = heard.answers.remove(&id) {
                let _ = sender.send(message);
            }
            continue;
        }
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap().to_owned();
                heard.requests.push(url);
            }
            "Runtime.exceptionThrown" | "Page.javascriptDialogOpening" => {
                heard.complaints.push(params.to_string());
            }
            "Runtime.consoleAPICalled"
                if params["type"] == "error" || params["type"] == "warning" =>
            {
                heard.complaints.push(params["args"].to_string());
            }
            // An answer of the API that is no success is told to the user, and here too.
            "Log.entryAdded"
                if params["entry"]["source"] != "network"
                    && matches!(params["entry"]["level"].as_str(), Some("error" | "warning")) =>
            {
                heard.complaints.push(params["entry"].to_string());
            }
            _ => {}
        }
    }
}
