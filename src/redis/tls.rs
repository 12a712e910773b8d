//! TLS certificates, read from files.

use std::path::PathBuf;

use ::redis::cluster::ClusterClientBuilder;
use ::redis::{Client, ConnectionAddr, ConnectionInfo};

use crate::error::{Error, Result};

/// The error text for a TLS option without the feature.
#[cfg_attr(feature = "redis_tls", allow(dead_code, reason = "no URL is refused with the feature"))]
pub(super) const NEEDS_FEATURE: &str = "TLS needs the feature redis_tls";

/// Certificate files in PEM format.
#[derive(Clone)]
pub(super) struct CertificateFiles {
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl CertificateFiles {
    /// The name of the first of these options that is set. Each needs TLS.
    fn first(&self) -> Option<&'static str> {
        let files =
            [("ca_certificate", &self.ca), ("client_certificate", &self.certificate), ("client_key", &self.key)];
        files.into_iter().find_map(|(option, file)| file.as_ref().map(|_| option))
    }

    pub(super) fn client(&self, node: ConnectionInfo) -> Result<Client> {
        self.check(&node)?;
        let client = match self.first() {
            #[cfg(feature = "redis_tls")]
            Some(_) => Client::build_with_tls(node, self.read()?),
            _ => Client::open(node),
        };
        client.map_err(|error| Error::option(self.first().unwrap_or("url"), error.to_string()))
    }

    pub(super) fn cluster(
        &self,
        nodes: &[ConnectionInfo],
        builder: ClusterClientBuilder,
    ) -> Result<ClusterClientBuilder> {
        for node in nodes {
            self.check(node)?;
        }
        #[cfg(feature = "redis_tls")]
        if self.first().is_some() {
            return Ok(builder.certs(self.read()?));
        }
        Ok(builder)
    }

    fn check(&self, node: &ConnectionInfo) -> Result<()> {
        match (node.addr(), self.first()) {
            (ConnectionAddr::TcpTls { insecure: true, .. }, _) => {
                Err(Error::option("url", "#insecure is not supported: name the certificate with ca_certificate"))
            }
            (ConnectionAddr::TcpTls { .. }, _) => {
                #[cfg(feature = "redis_tls")]
                provide_ciphers();
                Ok(())
            }
            (_, Some(option)) => Err(Error::option(option, "only a rediss:// URL has a use for it")),
            (_, None) => Ok(()),
        }
    }
}

#[cfg(feature = "redis_tls")]
impl CertificateFiles {
    fn read(&self) -> Result<::redis::TlsCertificates> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;

        let read = |option, file: &Option<PathBuf>| {
            let read = |file: &PathBuf| {
                std::fs::read(file).map_err(|error| Error::option(option, format!("{}: {error}", file.display())))
            };
            file.as_ref().map(read).transpose()
        };
        let root_cert = read("ca_certificate", &self.ca)?;
        if let (Some(bytes), Some(file)) = (&root_cert, &self.ca) {
            // If the file has no certificate, no server is trusted and every connection fails.
            if !CertificateDer::pem_slice_iter(bytes).any(|certificate| certificate.is_ok()) {
                return Err(Error::option(
                    "ca_certificate",
                    format!("{}: no certificate in PEM format", file.display()),
                ));
            }
        }
        let client = (read("client_certificate", &self.certificate)?, read("client_key", &self.key)?);
        let client_tls = match client {
            (Some(client_cert), Some(client_key)) => Some(::redis::ClientTlsConfig { client_cert, client_key }),
            (Some(_), None) => return Err(Error::option("client_certificate", "there is no client_key to it")),
            (None, Some(_)) => return Err(Error::option("client_key", "there is no client_certificate to it")),
            (None, None) => None,
        };
        Ok(::redis::TlsCertificates { client_tls, root_cert })
    }
}

/// Chooses the cryptography for `rustls`, which panics if several providers are compiled in and
/// none was chosen.
#[cfg(feature = "redis_tls")]
fn provide_ciphers() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
