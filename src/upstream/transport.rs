//! How the host of a provider is reached: through a proxy, and trusting whom.

use std::path::PathBuf;

use reqwest::{Certificate, ClientBuilder, Proxy, Url};
use secrecy::{ExposeSecret, SecretString};

/// How the host of a provider is reached. Nothing of it comes from the environment.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// The HTTP proxy, for example `http://proxy:3128`. It may hold a user name and a password.
    pub proxy: Option<SecretString>,
    /// Certificates in PEM of authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Prepares the connections of a client; says what is wrong where that cannot be.
pub(crate) fn apply(builder: ClientBuilder, transport: &Transport, base: &Url) -> Result<ClientBuilder, String> {
    let builder = match &transport.proxy {
        None => builder,
        Some(address) => builder.proxy(proxy(address.expose_secret()).ok_or_else(|| {
            "proxy is not the address of one; write it such as `http://proxy.internal:3128`".to_owned()
        })?),
    };
    // Reading the system's certificates takes time and may fail; an upstream without TLS needs none of them.
    let is_proxied_by_tls = transport.proxy.as_ref().is_some_and(|proxy| proxy.expose_secret().starts_with("https:"));
    if base.scheme() != "https" && !is_proxied_by_tls {
        return Ok(builder.tls_certs_only([]));
    }
    let Some(file) = &transport.ca_file else { return Ok(builder) };
    let shown = file.display();
    let pem = std::fs::read(file).map_err(|error| format!("ca_file `{shown}` cannot be read ({})", error.kind()))?;
    let certificates = Certificate::from_pem_bundle(&pem)
        .map_err(|_| format!("ca_file `{shown}` holds no certificates in PEM; export the authority as one"))?;
    if certificates.is_empty() {
        return Err(format!("ca_file `{shown}` holds no certificates in PEM; export the authority as one"));
    }
    Ok(builder.tls_certs_merge(certificates))
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
        drop(rustls::crypto::ring::default_provider().install_default());
        apply(reqwest::Client::builder(), transport, &Url::parse(base).unwrap()).err()
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
