//! `Chromium`: a headless browser with an empty profile, its tabs, and its cookie store.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use headless_chrome::protocol::cdp::types::{Event, Method};
use headless_chrome::protocol::cdp::{Network, Runtime};
use headless_chrome::{Browser, LaunchOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::PATIENCE;

/// A browser with its own profile. It ends when it and its tabs are dropped.
pub struct Chromium {
    process: Arc<Process>,
}

/// The browser and its folder. The order matters, because the browser writes until it ends.
struct Process {
    browser: Browser,
    _folder: Folder,
}

/// A folder that is removed with its contents.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // The browser has ended, but its helper processes outlive it for a moment.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A cookie in the browser's own store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that set it, or, with a leading dot, the domain that gets it.
    pub domain: String,
    /// The path it is sent to.
    pub path: String,
    /// Its end in seconds since 1970, or -1 if it ends with the browser.
    pub expires: f64,
    /// Hidden from scripts.
    pub http_only: bool,
    /// Sent over https alone.
    pub secure: bool,
    /// Ends with the browser.
    pub session: bool,
    /// `Strict`, `Lax` or `None`; absent if the cookie does not say.
    pub same_site: Option<String>,
    /// `Low`, `Medium` or `High`.
    pub priority: String,
    /// The embedding site that a partitioned cookie belongs to.
    pub partition_key: Option<PartitionKey>,
}

/// The site in the address bar.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionKey {
    /// Its scheme and host.
    pub top_level_site: String,
}

/// Replaces the call of `headless_chrome`, which expects fields that browsers no longer send.
#[derive(Debug, Serialize)]
struct GetCookies {}

impl Method for GetCookies {
    const NAME: &'static str = "Storage.getCookies";
    type ReturnObject = Cookies;
}

#[derive(Debug, Deserialize)]
struct Cookies {
    cookies: Vec<Cookie>,
}

impl Chromium {
    /// Starts a browser with default preferences.
    pub fn start() -> Self {
        Self::with_preferences(&json!({}))
    }

    /// Starts a browser that also sends sites their cookies inside other sites' pages, if the
    /// cookies allow it.
    pub fn start_with_third_party_cookies() -> Self {
        Self::with_preferences(&json!({ "profile": { "cookie_controls_mode": 0, "block_third_party_cookies": false } }))
    }

    fn with_preferences(preferences: &Value) -> Self {
        let folder = Folder(tempfile::tempdir().expect("a folder").keep());
        let default = folder.0.join("Default");
        let written =
            fs::create_dir(&default).and_then(|()| fs::write(default.join("Preferences"), preferences.to_string()));
        written.expect("a profile");
        // As root, which is usual in a container, Chromium refuses to run with its sandbox.
        let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        let temporary = folder.0.to_str().expect("a path that is text").to_owned();
        let options = LaunchOptions {
            sandbox: !root,
            idle_browser_timeout: PATIENCE,
            user_data_dir: Some(folder.0.clone()),
            process_envs: Some([("TMPDIR".to_owned(), temporary)].into()),
            ..LaunchOptions::default()
        };
        let browser = Browser::new(options).expect("a chromium (on Debian: apt-get install chromium)");
        Self { process: Arc::new(Process { browser, _folder: folder }) }
    }

    /// Starts a browser with default preferences, and opens a page in its first tab.
    #[track_caller]
    pub fn start_at(url: &str) -> (Self, Tab) {
        let chromium = Self::start();
        let tab = chromium.tab_at(url);
        (chromium, tab)
    }

    /// A new tab in which a page is open.
    #[track_caller]
    pub fn tab_at(&self, url: &str) -> Tab {
        let tab = self.tab();
        tab.open(url);
        tab
    }

    /// A new tab. All tabs share their cookies.
    pub fn tab(&self) -> Tab {
        let inner = self.process.browser.new_tab().expect("a tab");
        let (shown, navigations) = mpsc::channel();
        let shown = Mutex::new(shown);
        let listener = move |event: &Event| {
            if let Event::PageFrameNavigated(event) = event
                && event.params.frame.parent_id.is_none()
            {
                let _ = shown.lock().unwrap().send(());
            }
        };
        inner.add_event_listener(Arc::new(listener)).expect("its events");
        Tab { inner, navigations, _process: Arc::clone(&self.process) }
    }

    /// The cookies of all sites.
    pub fn cookies(&self) -> Vec<Cookie> {
        let tabs = self.process.browser.get_tabs().lock().unwrap();
        tabs[0].call_method(GetCookies {}).expect("the cookies").cookies
    }

    /// The only cookie.
    #[track_caller]
    pub fn cookie(&self) -> Cookie {
        let [cookie] = <[_; 1]>::try_from(self.cookies()).expect("one cookie");
        cookie
    }
}

/// A tab of a browser.
pub struct Tab {
    inner: Arc<headless_chrome::Tab>,
    /// A message for each document that was shown.
    navigations: Receiver<()>,
    // Keeps the browser alive.
    _process: Arc<Process>,
}

impl Tab {
    /// Opens a page as if its address was typed; returns its text.
    #[track_caller]
    pub fn open(&self, url: &str) -> String {
        self.navigate(|| {
            self.inner.navigate_to(url).expect("the page");
        });
        self.text()
    }

    /// Reloads the page; returns its text.
    #[track_caller]
    pub fn reload(&self) -> String {
        self.navigate(|| {
            self.inner.reload(false, None).expect("the page");
        });
        self.text()
    }

    /// Runs a script that leads to another page; returns that page's text.
    #[track_caller]
    pub fn follow(&self, script: &str) -> String {
        self.navigate(|| self.begin(script));
        self.text()
    }

    /// The same, with an action that the page's arrival waits for.
    #[track_caller]
    pub fn follow_through(&self, script: &str, action: impl FnOnce()) -> String {
        self.navigate(|| {
            self.begin(script);
            action();
        });
        self.text()
    }

    /// Presses the back button; returns the page's text.
    #[track_caller]
    pub fn back(&self) -> String {
        self.follow("history.back()")
    }

    /// Presses the back button to a page that then reloads itself; returns its text.
    #[track_caller]
    pub fn back_and_on(&self) -> String {
        self.navigate_on(2, || self.begin("history.back()"));
        self.text()
    }

    /// The HTTP status of the page.
    #[track_caller]
    pub fn status(&self) -> String {
        self.run("performance.getEntriesByType('navigation')[0].responseStatus")
    }

    /// Limits the tab's uploads.
    pub fn upload_at(&self, bytes_per_second: u32) {
        self.inner
            .call_method(Network::Enable {
                max_total_buffer_size: None,
                max_resource_buffer_size: None,
                max_post_data_size: None,
                report_direct_socket_traffic: None,
                enable_durable_messages: None,
            })
            .expect("its network");
        let conditions = Network::EmulateNetworkConditions {
            offline: false,
            latency: 0.0,
            download_throughput: -1.0,
            upload_throughput: f64::from(bytes_per_second),
            connection_Type: None,
            packet_loss: None,
            packet_queue_length: None,
            packet_reordering: None,
        };
        self.inner.call_method(conditions).expect("a slow network");
    }

    /// The text on the page.
    #[track_caller]
    pub fn text(&self) -> String {
        self.run("document.body.innerText.trim()")
    }

    /// Fetches a path of the page's site as a script of the page does; returns the response's text.
    #[track_caller]
    pub fn fetch(&self, path: &str) -> String {
        self.run(&format!("fetch('{path}').then(response => response.text())"))
    }

    /// Begins such a fetch; [`finish`](Self::finish) returns its text.
    #[track_caller]
    pub fn begin_fetch(&self, path: &str) {
        self.begin(&format!("window.slow = fetch('{path}').then(response => response.text())"));
    }

    /// Waits for the fetch that was begun; returns the response's text.
    #[track_caller]
    pub fn finish(&self) -> String {
        self.run("window.slow")
    }

    /// Runs a script and waits for its promise; returns the result as text.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        match self.evaluate(&format!("Promise.resolve({script})"), true) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// Runs a script without waiting for a promise.
    #[track_caller]
    pub fn begin(&self, script: &str) {
        self.evaluate(&format!("{{ {script}; }} undefined"), false);
    }

    #[track_caller]
    fn navigate(&self, act: impl FnOnce()) {
        self.navigate_on(1, act);
    }

    #[track_caller]
    fn navigate_on(&self, documents: usize, act: impl FnOnce()) {
        while self.navigations.try_recv().is_ok() {}
        act();
        for _ in 0..documents {
            self.navigations.recv_timeout(PATIENCE).expect("another page");
        }
        self.run(
            "document.readyState === 'complete' || new Promise(done => addEventListener('load', () => done(true)))",
        );
    }

    #[track_caller]
    fn evaluate(&self, script: &str, await_promise: bool) -> Value {
        let call = Runtime::Evaluate {
            expression: script.to_owned(),
            return_by_value: Some(true),
            await_promise: Some(await_promise),
            // As after a click: otherwise the browser leaves pages out of its history.
            user_gesture: Some(true),
            object_group: None,
            include_command_line_api: None,
            silent: None,
            context_id: None,
            generate_preview: None,
            throw_on_side_effect: None,
            timeout: None,
            disable_breaks: None,
            repl_mode: None,
            allow_unsafe_eval_blocked_by_csp: None,
            unique_context_id: None,
            serialization_options: None,
        };
        let answer = self.inner.call_method(call).unwrap_or_else(|error| panic!("{script}: {error}"));
        assert!(answer.exception_details.is_none(), "{script}: {:?}", answer.exception_details);
        answer.result.value.unwrap_or(Value::Null)
    }
}
