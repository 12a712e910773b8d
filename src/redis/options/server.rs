//! The server and the login that the options name.

use std::path::PathBuf;

use ::redis::cluster::ClusterClientBuilder;
use ::redis::{ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};

use super::RedisOptions;
use crate::error::{Error, Result};
use crate::redis::connection::Server;
use crate::redis::sentinel::Sentinels;
use crate::redis::tls::{self, CertificateFiles};
use crate::sync::Arc;

/// How to encode a password in a URL.
const ENCODING: &str = "in a user name and a password each character but letters, digits and -._~ is \
    percent-encoded (\"@\" is %40, \"/\" %2F, \":\" %3A, \"#\" %23, \"?\" %3F, \"%\" %25); or take the option password";

impl RedisOptions {
    pub(super) fn server(&self) -> Result<Server> {
        let raw = &self.raw;
        check_file("ca_certificate", raw.ca_certificate.as_ref())?;
        check_file("client_certificate", raw.client_certificate.as_ref())?;
        check_file("client_key", raw.client_key.as_ref())?;
        let files = CertificateFiles {
            ca: raw.ca_certificate.clone(),
            certificate: raw.client_certificate.clone(),
            key: raw.client_key.clone(),
        };
        let choices = [
            ("url", raw.url.is_some()),
            ("cluster", !raw.cluster.is_empty()),
            ("sentinels", !raw.sentinels.is_empty()),
        ];
        let mut chosen = choices.into_iter().filter(|(_, is_there)| *is_there).map(|(option, _)| option);
        if let (Some(one), Some(other)) = (chosen.next(), chosen.next()) {
            return Err(Error::option(other, format!("there is a {one} too, and only one of them can be meant")));
        }
        if raw.primary.is_some() && raw.sentinels.is_empty() {
            return Err(Error::option("primary", "there are no sentinels to ask for it"));
        }
        if !raw.sentinels.is_empty() {
            return self.sentinel_server(files);
        }
        if raw.cluster.is_empty() {
            return files.client(self.one()?).map(Server::Standalone);
        }
        let nodes = self.nodes()?;
        // Each retry would take the whole time limit again.
        let builder = ClusterClientBuilder::new(nodes.clone()).retries(0);
        let client = files.cluster(&nodes, builder)?.build();
        client.map(Server::Cluster).map_err(|error| Error::option("cluster", error.to_string()))
    }

    /// A server behind Sentinels. The login to the Sentinels themselves is in their URLs.
    fn sentinel_server(&self, files: CertificateFiles) -> Result<Server> {
        let sentinels = self.raw.sentinels.iter().map(|url| {
            let info = parse("sentinels", url)?;
            if info.redis_settings().db() != 0 {
                return Err(Error::option("sentinels", "a Sentinel has no databases: leave the number out"));
            }
            files.client(info)
        });
        let sentinels = sentinels.collect::<Result<_>>()?;
        let login = self.login(RedisConnectionInfo::default())?;
        Ok(Server::Primary(Arc::new(Sentinels::new(sentinels, self.primary_name().to_owned(), login, files))))
    }

    fn primary_name(&self) -> &str {
        self.get_primary()
    }

    /// The name of the server in errors, without user and password.
    pub(super) fn name(&self) -> Result<String> {
        let raw = &self.raw;
        let all = |option, urls: &[String]| {
            let names: Result<Vec<_>> = urls.iter().map(|url| Ok(parse(option, url)?.addr().to_string())).collect();
            Ok::<_, Error>(names?.join(", "))
        };
        if !raw.cluster.is_empty() {
            return Ok(format!("redis cluster at {}", all("cluster", &raw.cluster)?));
        }
        if !raw.sentinels.is_empty() {
            return Ok(format!("redis {} by sentinels at {}", self.primary_name(), all("sentinels", &raw.sentinels)?));
        }
        Ok(format!("redis at {}", self.one()?.addr()))
    }

    fn one(&self) -> Result<ConnectionInfo> {
        self.node("url", self.raw.url.as_deref().unwrap_or("redis://127.0.0.1:6379"))
    }

    fn nodes(&self) -> Result<Vec<ConnectionInfo>> {
        self.raw.cluster.iter().map(|url| self.node("cluster", url)).collect()
    }

    fn node(&self, option: &'static str, url: &str) -> Result<ConnectionInfo> {
        let info = parse(option, url)?;
        let login = self.login(info.redis_settings().clone())?;
        Ok(info.set_redis_settings(login))
    }

    /// The login of the URL. The options `username` and `password` replace its parts.
    fn login(&self, mut login: RedisConnectionInfo) -> Result<RedisConnectionInfo> {
        if let Some(username) = &self.raw.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.raw.password {
            login = login.set_password(password);
        }
        if login.username().is_some() && login.password().is_none() {
            // Without a password the user name is not sent, and the default user would be used.
            return Err(Error::option("username", "there is no password to it; for a user without one any will do"));
        }
        // Sending the name of the library would take another round trip.
        Ok(login.set_skip_set_lib_name())
    }
}

/// Reads a URL. No error quotes it, because it may contain a password.
fn parse(option: &'static str, url: &str) -> Result<ConnectionInfo> {
    let is_tls = ["rediss:", "valkeys:"].iter().any(|scheme| url.starts_with(scheme));
    if is_tls && !cfg!(feature = "redis_tls") {
        return Err(Error::option(option, tls::NEEDS_FEATURE));
    }
    if is_cut_short(url) {
        let problem = format!("the URL has a \"/\", \"?\" or \"#\" before its last \"@\": {ENCODING}");
        return Err(Error::option(option, problem));
    }
    let info = url.into_connection_info().map_err(|error| {
        let is_wildcard = error.to_string().contains("wildcard");
        let hint = if is_wildcard { String::new() } else { format!(": redis://user:password@host:6379/0; {ENCODING}") };
        Error::option(option, format!("{error}{hint}"))
    })?;
    let login = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(info.set_redis_settings(login))
}

/// Returns true if a password has an unencoded `/`, `?` or `#`. The URL's host would end there, and
/// the rest of the password would be taken for a path.
fn is_cut_short(url: &str) -> bool {
    let is_socket = url.starts_with("unix:") || url.starts_with("redis+unix:") || url.starts_with("valkey+unix:");
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    !is_socket && rest[end..].contains('@')
}

/// Refuses a text in PEM format instead of a file name, because errors quote file names.
fn check_file(option: &'static str, file: Option<&PathBuf>) -> Result<()> {
    if file.is_some_and(|file| file.to_string_lossy().contains("-----BEGIN")) {
        return Err(Error::option(option, "this is the text itself: write it to a file, and name the file"));
    }
    Ok(())
}
