//! One connection to a server, and all of those to a cluster.
//!
//! The client library speaks the protocol and knows which master of a cluster has a key; what it speaks over is
//! ours: its TLS is that of the rest of the program, and a server that says more than anybody asked for is cut
//! off before it fills our memory.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::{ClusterConnection, Connect};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, Value,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::limits::SHARED_ANSWER_BYTES_MAX;
use crate::policy::settings::SharedStore;
use crate::tls::client_policy::server_name;

/// To connect to one server, with all that belongs to it.
const CONNECT: Duration = Duration::from_secs(1);
/// A command that a cluster answers only by a node that it moved to is put so often again.
const RETRIES: u32 = 2;
/// Behind so many milliseconds.
const RETRY_MS: u64 = 20;

thread_local! {
    /// The TLS of connections that the library's own tasks make to nodes of a cluster: it hands them an address
    /// and nothing else. There is one store, and one thread that speaks with it.
    static TLS: RefCell<Option<TlsConnector>> = const { RefCell::new(None) };
}

/// Cheap to clone; ends with the last clone.
#[derive(Clone)]
pub(super) enum Connection {
    Server(Link),
    Cluster(ClusterConnection<Link>),
}

impl Connection {
    /// Connects, and has an answer to show for it.
    pub(super) async fn open(settings: &SharedStore) -> RedisResult<Self> {
        let tls = settings.tls.as_ref().map(|policy| TlsConnector::from(policy.for_https()));
        let connection = if settings.is_cluster {
            TLS.set(tls);
            Self::Cluster(cluster(settings).await?)
        } else {
            let (host, port) =
                settings.nodes.first().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
            let config = AsyncConnectionConfig::new().set_response_timeout(Some(settings.timeout));
            Self::Server(Link::open(host, *port, &login(settings), tls, config).await?)
        };
        connection.clone().probe().await?;
        Ok(connection)
    }

    pub(super) async fn ask(mut self, command: &Cmd) -> RedisResult<Value> {
        match &mut self {
            Self::Server(link) => command.query_async(link).await,
            Self::Cluster(cluster) => command.query_async(cluster).await,
        }
    }

    /// Whether it is there: all masters of a cluster.
    pub(super) async fn probe(self) -> RedisResult<()> {
        self.ask(&redis::cmd("PING")).await.map(drop)
    }
}

async fn cluster(settings: &SharedStore) -> RedisResult<ClusterConnection<Link>> {
    let nodes = settings.nodes.iter().map(|(host, port)| (host.clone(), *port));
    let mut builder = ClusterClientBuilder::new(nodes)
        .use_protocol(ProtocolVersion::RESP2)
        .retries(RETRIES)
        .min_retry_wait(RETRY_MS)
        .max_retry_wait(RETRY_MS)
        .connection_timeout(settings.timeout)
        .response_timeout(settings.timeout);
    if let Some(user) = &settings.user {
        builder = builder.username(user);
    }
    if let Some(password) = &settings.password {
        builder = builder.password(String::from_utf8_lossy(password.as_bytes()));
    }
    builder.build()?.get_async_generic_connection().await
}

fn login(settings: &SharedStore) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_db(settings.database.into())
        .set_skip_set_lib_name();
    if let Some(user) = &settings.user {
        login = login.set_username(user);
    }
    if let Some(password) = &settings.password {
        login = login.set_password(String::from_utf8_lossy(password.as_bytes()));
    }
    login
}

/// The word with which a server refuses; None: it is not the server's word.
pub(super) fn code(error: &RedisError) -> Option<&str> {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => error.code(),
        _ => None,
    }
}

/// One connection to one server.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// What reads and writes ends with the last clone, even where a server never answers.
    _driver: Arc<Driver>,
}

struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// One of a cluster's that is not there must not keep us from the others.
    async fn open(
        host: &str,
        port: u16,
        login: &RedisConnectionInfo,
        tls: Option<TlsConnector>,
        config: AsyncConnectionConfig,
    ) -> RedisResult<Self> {
        let opening = timeout(CONNECT, Self::connect(host, port, login, tls, config)).await;
        opening.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    async fn connect(
        host: &str,
        port: u16,
        login: &RedisConnectionInfo,
        tls: Option<TlsConnector>,
        config: AsyncConnectionConfig,
    ) -> RedisResult<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return Self::over(stream, login, config).await };
        let name = server_name(host).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Self::over(tls.connect(name, stream).await?, login, config).await
    }

    async fn over<S>(
        stream: S,
        login: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> RedisResult<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Bounded { stream, left: 0 };
        let (connection, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
        let driver = tokio::spawn(driver).abort_handle();
        Ok(Self { connection, _driver: Arc::new(Driver(driver)) })
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.connection.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(commands, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

impl Connect for Link {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        let tls = TLS.with_borrow(Clone::clone);
        Box::pin(async move {
            let info: ConnectionInfo = info.into_connection_info()?;
            let login = info.redis_settings().clone().set_skip_set_lib_name();
            match info.addr() {
                ConnectionAddr::Tcp(host, port) => Self::open(host, *port, &login, tls, config).await,
                _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
            }
        })
    }
}

/// Brings at most [`SHARED_ANSWER_BYTES_MAX`] behind each thing that was said.
struct Bounded<S> {
    stream: S,
    left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let brought = buffer.filled().len() - before;
        let left = self.left.checked_sub(brought);
        self.left = left.ok_or_else(|| io::Error::other("it says more than it was asked"))?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.left = SHARED_ANSWER_BYTES_MAX;
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
