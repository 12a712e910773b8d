//! Certificates for tests, made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes an authority and its certificate for 127.0.0.1, which the server and the client use.
    pub(crate) fn make() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lembro-tls-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let name = "subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";
        std::fs::write(folder.join("name"), name).unwrap();
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = ["req", "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=tests", "-days", "2"];
        openssl(&folder, &[&authority[..], &key].concat());
        let request = ["req", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"];
        openssl(&folder, &[&request[..], &key].concat());
        let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
        let more = ["-out", "server.crt", "-days", "2", "-extfile", "name"];
        openssl(&folder, &[&sign[..], &more].concat());
        Self { folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The arguments of a server with these certificates.
    pub(crate) fn arguments(&self, port: u16, asks_clients: bool) -> Vec<String> {
        let file = |name| self.file(name).to_str().unwrap().to_owned();
        let asks = if asks_clients { "yes" } else { "no" };
        let mut arguments: Vec<String> = ["--tls-port".to_owned(), port.to_string()].into();
        arguments.extend(["--tls-cert-file".to_owned(), file("server.crt")]);
        arguments.extend(["--tls-key-file".to_owned(), file("server.key")]);
        arguments.extend(["--tls-ca-cert-file".to_owned(), file("ca.crt")]);
        arguments.extend(["--tls-auth-clients", asks].map(str::to_owned));
        arguments
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let openssl = Command::new("openssl").args(arguments).current_dir(folder).stdout(Stdio::null()).output();
    let output = openssl
        .unwrap_or_else(|error| panic!("openssl is needed for these tests: apt-get install -y openssl ({error})"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
