//! A headless Chromium, driven over its DevTools protocol: pages opened, clicked, typed into and pictured, and all
//! that it asked for and complained of.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};

use super::{tool, wait_for};

pub(crate) struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
    socket: WebSocket<TcpStream>,
    /// That of the page; null before there is one.
    session: Value,
    commands: u64,
    /// Addresses that were asked for, by whatever the page did.
    pub(crate) asked: Vec<String>,
    /// What the console has: errors, exceptions, breaches of the page's policy.
    pub(crate) complaints: Vec<String>,
}

impl Browser {
    /// Starts it with an empty page; none where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let chromium = tool("chromium")?;
        let profile = tempfile::tempdir().unwrap();
        // One whose test was killed would go on drawing a page that is gone, on all cores.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let file = profile.path().join("DevToolsActivePort");
        // Its two lines are the port and the path of the browser's own socket.
        let (port, path): (u16, String) = wait_for("the browser", || {
            let text = fs::read_to_string(&file).ok()?;
            let (port, path) = text.split_once('\n')?;
            Some((port.parse().ok()?, path.trim().to_owned()))
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{address}{path}"), stream).unwrap();
        let (asked, complaints) = (Vec::new(), Vec::new());
        let session = Value::Null;
        let mut browser = Self { child, _profile: profile, socket, session, commands: 0, asked, complaints };
        let page = wait_for("an empty page", || {
            let told = browser.command("Target.getTargets", &json!({}));
            let page = told["targetInfos"].as_array()?.iter().find(|target| target["type"] == "page")?;
            Some(page["targetId"].clone())
        });
        let attached = browser.command("Target.attachToTarget", &json!({"targetId": page, "flatten": true}));
        browser.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.command(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    pub(crate) fn open(&mut self, address: SocketAddr) {
        self.command("Page.navigate", &json!({"url": format!("http://{address}/")}));
        self.wait_for("document.readyState === 'complete'");
    }

    fn command(&mut self, method: &str, parameters: &Value) -> Value {
        self.commands += 1;
        let mut command = json!({"id": self.commands, "method": method, "params": parameters});
        if !self.session.is_null() {
            command["sessionId"] = self.session.clone();
        }
        self.socket.send(Message::text(command.to_string())).unwrap();
        loop {
            let message = match self.socket.read() {
                // A machine that was halted and goes on.
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            let Message::Text(text) = message else { continue };
            let told: Value = serde_json::from_str(&text).unwrap();
            if told["id"] == self.commands {
                assert!(told.get("error").is_none(), "{method}: {told}");
                return told["result"].clone();
            }
            self.hear(&told);
        }
    }

    fn hear(&mut self, told: &Value) {
        let (what, with) = (told["method"].as_str().unwrap_or_default(), &told["params"]);
        let entry = &with["entry"];
        match what {
            "Network.requestWillBeSent" => {
                self.asked.push(with["request"]["url"].as_str().unwrap().to_owned())
            }
            "Network.webSocketCreated" => self.asked.push(with["url"].as_str().unwrap().to_owned()),
            // An answer with a status from 400 is one that the test asks for, or that the page tells of.
            "Log.entryAdded" if entry["source"] != "network" => self.complaints.push(entry.to_string()),
            "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => self.complaints.push(with.to_string()),
            _ => {}
        }
    }

    /// The value of an expression.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let told = self.command("Runtime.evaluate", &asked);
        assert!(told.get("exceptionDetails").is_none(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until an expression is true of the page.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, expression: &str) {
        wait_for(expression, || (self.value(&format!("Boolean({expression})")) == true).then_some(()));
    }

    /// The text of what a selector finds first.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({selector:?})?.textContent"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until what a selector finds holds these words.
    #[track_caller]
    pub(crate) fn wait_for_text(&mut self, selector: &str, words: &str) {
        self.wait_for(&format!("document.querySelector({selector:?})?.textContent.includes({words:?})"));
    }

    /// Waits until it can be pressed, and presses it.
    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str) {
        let found = format!("document.querySelector({selector:?})");
        self.wait_for(&format!("{found}?.checkVisibility() && !{found}.disabled"));
        self.value(&format!("{found}.click()"));
    }

    /// Replaces what is in a field by typing.
    #[track_caller]
    pub(crate) fn write(&mut self, selector: &str, text: &str) {
        let found = format!("document.querySelector({selector:?})");
        self.wait_for(&format!("{found}?.checkVisibility()"));
        self.value(&format!("{found}.focus(), {found}.select()"));
        self.command("Input.insertText", &json!({"text": text}));
    }

    /// Shows the page as a screen of this width does, and keeps a picture of all of it. Gives the width of
    /// what there is.
    pub(crate) fn picture(&mut self, width: u32, scheme: &str, file: &Path) -> u64 {
        let screen = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        self.command("Emulation.setDeviceMetricsOverride", &screen);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", &media);
        let wide = self.value("document.documentElement.scrollWidth");
        let tall = self.value("document.documentElement.scrollHeight");
        let clip = json!({"x": 0, "y": 0, "width": width, "height": tall, "scale": 1});
        let shot =
            self.command("Page.captureScreenshot", &json!({"captureBeyondViewport": true, "clip": clip}));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, decoded(shot["data"].as_str().unwrap())).unwrap();
        wide.as_u64().unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The bytes of base64 (RFC 4648).
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=').as_bytes();
    let value = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).unwrap();
    let four = |group: &[u8]| {
        let bits = group.iter().fold(0, |bits, byte| bits << 6 | value(byte)) << (6 * (4 - group.len()));
        bits.to_be_bytes()[5..5 + group.len() * 6 / 8].to_vec()
    };
    digits.chunks(4).flat_map(four).collect()
}
