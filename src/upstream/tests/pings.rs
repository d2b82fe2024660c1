//! HTTP/2 connections that die without a word.

use std::path::Path;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::upstream::transport::Transport;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// An empty frame of settings, with which each side of HTTP/2 begins.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

fn certificate(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A provider that takes one call over HTTP/2 and never says a word again. Its address, and when it has the call.
async fn mute(tasks: &mut JoinSet<()>) -> (String, oneshot::Receiver<()>) {
    let chain = vec![CertificateDer::from_pem_file(certificate("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificate("server-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, is_asked) = oneshot::channel();
    tasks.spawn(async move {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        stream.write_all(&SETTINGS).await.unwrap();
        let (mut all, body) = (Vec::new(), b"upstream-model");
        while !all.windows(body.len()).any(|part| part == body) {
            stream.read_buf(&mut all).await.unwrap();
        }
        asked.send(()).unwrap();
        while stream.read_buf(&mut all).await.is_ok_and(|read| read > 0) {}
    });
    (format!("https://{address}/v1"), is_asked)
}

#[tokio::test]
async fn a_dead_connection_is_noticed_long_before_the_limit_for_headers() {
    let mut tasks = JoinSet::new();
    let (base_url, is_asked) = mute(&mut tasks).await;
    let timeouts = Timeouts { headers: HOUR, idle: HOUR, total: HOUR, ..Timeouts::default() };
    let transport = Transport { ca_file: Some(certificate("authority.pem")), ..Transport::default() };
    let target = target_of(UpstreamSettings { timeouts, transport, ..settings("a", base_url) });
    let retry = RetrySettings { total: 1, ..RetrySettings::default() };
    let plan = Plan { retry, deadline: Instant::now() + HOUR, ..plan(vec![target]) };
    let (books, reports, closed) = books();

    // Not paused throughout: time would run on whenever bytes are under way.
    let minute = async {
        is_asked.await.unwrap();
        for _ in 0..60 {
            time::pause();
            time::advance(SECOND).await;
            time::resume();
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    };
    let result = tokio::select! {
        result = send(plan, WHOLE, books) => result,
        () = minute => panic!("a minute later it still waits"),
    };

    assert!(matches!(result, Err(DispatchError::Exhausted { .. })));
    let outcome = one_report(&reports, closed).await;
    assert_eq!(classes(&outcome), [Class::Transient]);
}
