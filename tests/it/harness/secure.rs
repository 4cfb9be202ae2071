//! TLS for the peers of the product, by the library's own connection: an oracle that shares no record
//! layer with the program under test. The socket stays with whoever has it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::authority::{Issued, world};

/// One end of a session.
#[derive(Debug)]
pub(crate) struct Tls(pub(crate) Connection);

impl Tls {
    /// Shakes hands with the server at the other end of `socket`; the hello goes out in one write with
    /// what stands `before` it.
    pub(crate) fn client(
        config: &Arc<ClientConfig>,
        name: &str,
        before: &[u8],
        socket: &mut TcpStream,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut hello = before.to_vec();
        while connection.wants_write() {
            connection.write_tls(&mut hello)?;
        }
        socket.write_all(&hello)?;
        Self(connection.into()).shaken(socket)
    }

    /// The same with a client, of which `early` was read already.
    pub(crate) fn server(
        config: &Arc<ServerConfig>,
        mut early: &[u8],
        socket: &mut TcpStream,
    ) -> io::Result<Self> {
        let mut tls = Self(ServerConnection::new(Arc::clone(config)).unwrap().into());
        while !early.is_empty() {
            tls.0.read_tls(&mut early)?;
            tls.open(socket)?;
        }
        tls.shaken(socket)
    }

    fn shaken(mut self, socket: &mut TcpStream) -> io::Result<Self> {
        self.0.set_buffer_limit(None);
        self.flush(socket)?;
        while self.0.is_handshaking() {
            if self.0.read_tls(socket)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.open(socket)?;
        }
        Ok(self)
    }

    /// Opens what was read; an alert that is owed goes out.
    fn open(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        let opened = self.0.process_new_packets();
        let flushed = self.flush(socket);
        opened.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        flushed
    }

    fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(socket)?;
        }
        Ok(())
    }

    /// Plaintext; 0 when the peer closed cleanly, `UnexpectedEof` when it did not.
    pub(crate) fn read(&mut self, socket: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            self.0.read_tls(socket)?;
            self.open(socket)?;
        }
    }

    pub(crate) fn write(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        self.0.writer().write_all(bytes)?;
        self.flush(socket)
    }

    /// Says that no more will come (close_notify).
    pub(crate) fn close(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        self.0.send_close_notify();
        self.flush(socket)
    }
}

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// A client that knows our authority, keeps tickets, and shows `own` where it is asked.
pub(crate) fn client_config(
    versions: &[&'static SupportedProtocolVersion],
    own: Option<&Issued>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(world().authority.der.clone())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match own {
        Some(own) => {
            let (chain, key) = pem(own);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    })
}

/// A server that shows `own` and gives tickets.
pub(crate) fn server_config(
    versions: &[&'static SupportedProtocolVersion],
    own: &Issued,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = pem(own);
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    Arc::new(config)
}

pub(crate) fn pem(own: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = vec![CertificateDer::from(own.der.clone())];
    (chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap())
}
