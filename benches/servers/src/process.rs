//! A server in a process of its own: its kind, its start, its processor time and its memory.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::median::AnyError;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rouille,
    TinyHttp,
    Touche,
    Axum,
    TowerSessions,
    Express,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Rouille, Self::TinyHttp, Self::Touche, Self::Axum, Self::TowerSessions, Self::Express];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rouille => "rouille",
            Self::TinyHttp => "tiny_http",
            Self::Touche => "touche",
            Self::Axum => "axum",
            Self::TowerSessions => "tower-sessions",
            Self::Express => "express",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rouille => "rouille, lembro",
            Self::TinyHttp => "tiny_http, lembro",
            Self::Touche => "touche, lembro",
            Self::Axum => "axum, lembro",
            Self::TowerSessions => "axum, tower-sessions",
            Self::Express => "express, express-session",
        }
    }

    pub(crate) fn of(name: &str) -> Result<Self, AnyError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("no server {name}").into())
    }
}

/// The page of a server: with sessions or without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    With,
    Without,
}

impl Page {
    fn name(self) -> &'static str {
        if self == Self::With { "with" } else { "without" }
    }

    pub(crate) fn of(name: &str) -> Result<Self, AnyError> {
        let found = [Self::With, Self::Without].into_iter().find(|page| page.name() == name);
        found.ok_or_else(|| format!("with or without, not {name}").into())
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    process: Child,
    /// Host and port.
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(kind: Kind, page: Page) -> Result<Self, AnyError> {
        let mut command = if kind == Kind::Express {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("express");
            if !folder.join("node_modules").exists() {
                let installed = Command::new("npm").args(["install", "--silent"]).current_dir(&folder).status()?;
                if !installed.success() {
                    return Err("npm does not install express".into());
                }
            }
            let mut command = Command::new("node");
            command.current_dir(folder).env("NODE_ENV", "production").args(["server.js", page.name()]);
            command
        } else {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["serve", kind.name(), page.name()]);
            command
        };
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http://").ok_or("it does not say where it is")?.to_owned();
        Ok(Self { process, address })
    }

    /// The processor time of each thread, from `schedstat`, because `stat` counts in ticks of 10
    /// ms.
    pub(crate) fn cpu(&self) -> Result<Cpu, AnyError> {
        let mut threads = HashMap::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let thread = thread?;
            // A thread that ends here was idle since the last time.
            let Ok(times) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let nanoseconds = times.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
            threads.insert(thread.file_name().to_string_lossy().into_owned(), Duration::from_nanos(nanoseconds));
        }
        Ok(Cpu(threads))
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<f64, AnyError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processor time of each thread.
pub(crate) struct Cpu(HashMap<String, Duration>);

impl Cpu {
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let one = |(thread, time): (&String, &Duration)| {
            time.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(one).sum()
    }
}
