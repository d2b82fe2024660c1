//! How the host of a provider is reached: through a proxy, and trusting whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{ClientBuilder, Proxy, Url};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret, SecretString};

/// How the host of a provider is reached. Nothing of it comes from the environment.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// The HTTP proxy, for example `http://proxy:3128`. It may hold a user name and a password.
    pub proxy: Option<SecretString>,
    /// Certificates in PEM of authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Why the connections of an upstream cannot be prepared.
#[derive(Debug)]
pub(crate) enum Unprepared {
    /// A setting is wrong; says what.
    Setting(String),
    /// The system has no certificates to trust; says why.
    Tls(String),
}

/// What the connections of an upstream's clients have in common. Certificates are read once, and sessions of TLS are shared.
#[derive(Debug)]
pub(crate) struct Prepared {
    proxy: Option<Proxy>,
    /// `None` where nothing is encrypted.
    tls: Option<ClientConfig>,
}

impl Transport {
    /// Prepares the connections of clients to a host.
    ///
    /// # Errors
    /// What is wrong where that cannot be.
    pub(crate) fn prepare(&self, base: &Url) -> Result<Prepared, Unprepared> {
        let proxy = self.proxy.as_ref().map(|address| proxy(address.expose_secret())).map(|proxy| {
            let expected = "proxy is not the address of one; write it such as `http://proxy.internal:3128`";
            proxy.ok_or_else(|| Unprepared::Setting(expected.to_owned()))
        });
        let proxy = proxy.transpose()?;
        // Reading the system's certificates takes time and may fail; an upstream without TLS needs none of them.
        let is_proxied_by_tls = self.proxy.as_ref().is_some_and(|proxy| proxy.expose_secret().starts_with("https:"));
        let is_encrypted = base.scheme() == "https" || is_proxied_by_tls;
        let tls = is_encrypted.then(|| self.tls()).transpose()?;
        Ok(Prepared { proxy, tls })
    }

    fn tls(&self) -> Result<ClientConfig, Unprepared> {
        let trusted = self.ca_file.as_deref().map(authorities).transpose()?.unwrap_or_default();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let failed = |error: rustls::Error| Unprepared::Tls(error.to_string());
        let verifier = Verifier::new_with_extra_roots(trusted, Arc::clone(&provider)).map_err(failed)?;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(failed)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut tls = builder.with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(tls)
    }
}

impl Prepared {
    /// A client with connections of its own.
    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let builder = match &self.proxy {
            None => builder,
            Some(proxy) => builder.proxy(proxy.clone()),
        };
        match &self.tls {
            None => builder.tls_certs_only([]),
            Some(tls) => builder.tls_backend_preconfigured(tls.clone()),
        }
    }
}

/// The certificates of a file.
fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, Unprepared> {
    let shown = file.display();
    let pem = std::fs::read(file)
        .map_err(|error| Unprepared::Setting(format!("ca_file `{shown}` cannot be read ({})", error.kind())))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        Unprepared::Setting(format!("ca_file `{shown}` holds no certificates in PEM; export the authority as one"))
    })
}

/// An HTTP proxy; `None` for other protocols and for what is no address.
fn proxy(address: &str) -> Option<Proxy> {
    let url = Url::parse(address).ok()?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_http { Proxy::all(url).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(transport: &Transport, base: &str) -> Option<String> {
        match transport.prepare(&Url::parse(base).unwrap()) {
            Ok(_) => None,
            Err(Unprepared::Setting(problem) | Unprepared::Tls(problem)) => Some(problem),
        }
    }

    #[test]
    fn an_authority_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (missing, text) = (directory.path().join("missing.pem"), directory.path().join("text.pem"));
        std::fs::write(&text, "no certificate").unwrap();
        for (file, problem) in [(missing, "missing.pem` cannot be read"), (text, "text.pem` holds no certificates")] {
            let transport = Transport { proxy: None, ca_file: Some(file) };

            assert!(refused(&transport, "https://x/").unwrap().contains(problem));
            assert_eq!(refused(&transport, "http://x/"), None, "without TLS nobody need be trusted");
        }
    }

    #[test]
    fn a_proxy_that_is_none_is_refused_without_showing_it() {
        for address in ["canary", "socks5://canary:1080", ""] {
            let transport = Transport { proxy: Some(SecretString::from(address)), ca_file: None };

            let problem = refused(&transport, "http://x/").unwrap();

            assert!(problem.starts_with("proxy is not") && !problem.contains("canary"), "{problem}");
        }
    }
}
