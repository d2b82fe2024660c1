//! Where the upstreams with a fault are.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::fault_matrix::cells::Place;
use crate::support::app::fixtures;
use crate::support::fake::FakeUpstream;

/// What keeps the places as they are, until it is dropped.
#[derive(Default)]
pub(super) struct Places {
    /// Addresses that are taken, and where nobody listens.
    taken: Vec<TcpSocket>,
    /// Listeners that accept nobody, and who fills their queues.
    full: Vec<(TcpListener, TcpStream)>,
    tasks: JoinSet<()>,
}

impl Places {
    /// The address of an upstream at this place.
    pub(super) async fn base_url(&mut self, place: Place, upstream: &FakeUpstream) -> String {
        match place {
            Place::Scripted => upstream.base_url(),
            Place::Refused => {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let base_url = format!("http://{}/v1", socket.local_addr().unwrap());
                self.taken.push(socket);
                base_url
            }
            // No part of a name may be so long, so that nobody is asked for its address.
            Place::NoName => format!("http://{}.invalid/v1", "x".repeat(70)),
            // A name that has no address by RFC 6761, which is asked for all the same.
            Place::Nameless => "http://nobody.invalid/v1".to_owned(),
            Place::NotTls => self.not_tls().await,
            Place::Untrusted => self.untrusted().await,
            Place::Full => self.full().await,
        }
    }

    /// A server that answers whatever comes with HTTP.
    async fn not_tls(&mut self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.tasks.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
            }
        });
        format!("https://{address}/v1")
    }

    /// A server whose certificate is of an authority that nobody trusts.
    async fn untrusted(&mut self) -> String {
        let file = |name: &str| fixtures().join("tls").join(name);
        let chain = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file("server-key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                assert!(acceptor.accept(socket).await.is_err(), "the certificate was trusted");
            }
        });
        format!("https://{address}/v1")
    }

    /// A listener whose queue holds one connection, and has it: Linux drops whoever comes next, so that no connection opens.
    async fn full(&mut self) -> String {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        self.full.push((listener, TcpStream::connect(address).await.unwrap()));
        format!("http://{address}/v1")
    }
}
