//! A finished TLS handshake: the encrypted stream and what was agreed on.

use std::io::{BufRead, ErrorKind};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::{TlsStream, client, server};

use super::binding;
use crate::der;

/// What a TLS handshake has agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// "TLSv1.2" or "TLSv1.3", as PostgreSQL spells them.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher: String,
    /// The server name that the client asked for; only known on accepted connections.
    pub sni: Option<String>,
    /// The application protocol that was agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The common name in the peer's certificate: on an accepted connection the name for the method `cert`.
    pub peer_common_name: Option<String>,
}

/// An encrypted TCP connection in either direction.
#[derive(Debug)]
pub(crate) struct Secured {
    stream: TlsStream<TcpStream>,
    end_point: Option<Arc<[u8]>>,
}

impl Secured {
    /// A client's connection; `end_point` is the hash of our own certificate.
    pub(crate) fn accepted(stream: server::TlsStream<TcpStream>, end_point: Option<Arc<[u8]>>) -> Secured {
        Secured { stream: stream.into(), end_point }
    }

    /// A connection to a server, which every verifier has made prove that the certificate is its own.
    pub(crate) fn connected(stream: client::TlsStream<TcpStream>) -> Secured {
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let end_point = certificate.and_then(|certificate| binding::tls_server_end_point(certificate));
        Secured { stream: stream.into(), end_point }
    }

    pub(crate) fn stream(&mut self) -> &mut TlsStream<TcpStream> {
        &mut self.stream
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        self.stream.get_mut().0
    }

    pub(crate) fn end_point(&self) -> Option<&Arc<[u8]>> {
        self.end_point.as_ref()
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }

    pub(crate) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.stream.get_ref().1.peer_certificates().and_then(<[_]>::first)
    }

    /// Whether decrypted bytes, or the end of the stream, wait inside TLS.
    pub(crate) fn has_plaintext(&mut self) -> bool {
        let found = match &mut self.stream {
            TlsStream::Client(stream) => stream.get_mut().1.reader().fill_buf().map(drop),
            TlsStream::Server(stream) => stream.get_mut().1.reader().fill_buf().map(drop),
        };
        !found.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    pub(crate) fn info(&self) -> TlsInfo {
        let state = self.stream.get_ref().1;
        let sni = match &self.stream {
            TlsStream::Server(stream) => stream.get_ref().1.server_name().map(str::to_owned),
            TlsStream::Client(_) => None,
        };
        let suite = state.negotiated_cipher_suite();
        TlsInfo {
            version: match state.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: suite.and_then(|s| s.suite().as_str()).unwrap_or("unknown").to_owned(),
            sni,
            alpn: self.alpn().map(<[u8]>::to_vec),
            peer_common_name: self.peer_certificate().and_then(|c| der::common_name(c)),
        }
    }
}
