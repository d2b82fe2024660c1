//! Upstreams over TLS: HTTP/2 where they offer it, HTTP/1.1 where they do not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Version;
use axum::response::Response;
use futures_util::future::join_all;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::app::{PATIENCE, chat};
use crate::support::{Setup, TestApp};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;
/// What a request says that is answered only once all others like it are there.
const TOGETHER: &str = "together";
const MANY: usize = 8;

/// A provider over TLS that notes how it is spoken to. Stops when dropped.
struct Provider {
    address: SocketAddr,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

struct Seen {
    versions: Mutex<Vec<Version>>,
    connections: AtomicUsize,
    all_there: Barrier,
}

/// A file of the certificates for tests: an authority whose key is lost, and a certificate of 127.0.0.1 by it.
fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

impl Provider {
    /// Starts on a free port, offering these protocols.
    async fn start(protocols: &[&str]) -> Self {
        let chain = vec![CertificateDer::from_pem_file(certificate("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(certificate("server-key.pem")).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (versions, connections) = (Mutex::default(), AtomicUsize::new(0));
        let seen = Arc::new(Seen { versions, connections, all_there: Barrier::new(MANY) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let (shared, mut tasks) = (Arc::clone(&seen), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                let service = TowerToHyperService::new(service.clone());
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    let builder = Builder::new(TokioExecutor::new());
                    drop(builder.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    /// A server of one thread, whose only models answer here.
    async fn app(&self) -> TestApp {
        let address = format!("https://{}/v1", self.address);
        let mut setup = Setup::tiers(&[address]);
        let authority = certificate("authority.pem");
        let trusted = format!("[upstreams.first]\nca_file = \"{}\"", authority.display());
        setup.toml = setup.toml.replacen("[upstreams.first]", &trusted, 1);
        let patience = r#"timeouts = { connect = "20s", headers = "20s", idle = "20s", total = "30s" }"#;
        let hasty = r#"timeouts = { connect = "1s", headers = "1s", idle = "1s", total = "5s" }"#;
        setup.toml = format!("[server]\nthreads = 1\n{}", setup.toml.replace(hasty, patience));
        TestApp::start(setup).await
    }

    fn versions(&self) -> Vec<Version> {
        self.seen.versions.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

async fn answer(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    seen.versions.lock().unwrap().push(request.version());
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    if String::from_utf8_lossy(&body).contains(TOGETHER) {
        drop(tokio::time::timeout(PATIENCE, seen.all_there.wait()).await);
    }
    Response::builder().header("content-type", "application/json").body(Body::from(ANSWER)).unwrap()
}

#[tokio::test]
async fn an_upstream_that_offers_http2_answers_many_calls_at_once_on_one_connection() {
    let provider = Provider::start(&["h2", "http/1.1"]).await;
    let app = provider.app().await;

    let first = app.post("/v1/chat/completions", &chat("cheap", "hello")).await;
    let body = chat("cheap", TOGETHER);
    let replies = join_all((0..MANY).map(|_| app.post("/v1/chat/completions", &body))).await;

    assert_eq!(first.status, 200, "{}", first.text);
    for reply in replies {
        assert_eq!((reply.status, &reply.json()["choices"][0]["message"]["content"]), (200, &"Hello".into()));
    }
    assert_eq!(provider.versions(), [Version::HTTP_2; MANY + 1]);
    assert_eq!(provider.connections(), 1);
}

#[tokio::test]
async fn an_upstream_that_knows_http1_alone_is_spoken_to_in_it() {
    for protocols in [&["http/1.1"][..], &[]] {
        let provider = Provider::start(protocols).await;
        let app = provider.app().await;

        for _ in 0..2 {
            let reply = app.post("/v1/chat/completions", &chat("cheap", "hello")).await;
            assert_eq!(reply.status, 200, "{protocols:?}: {}", reply.text);
        }

        assert_eq!(provider.versions(), [Version::HTTP_11; 2], "{protocols:?}");
        assert_eq!(provider.connections(), 1, "{protocols:?}");
    }
}
