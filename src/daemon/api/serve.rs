//! Connections: listening, deadlines against those who send or take nothing, the end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::access;
use super::router::{Client, router};
use crate::config::ApiKeys;
use crate::daemon::Service;

/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// The most bytes of a request's line and headers: more are answered 431.
const MAX_HEAD: usize = 64 << 10;
/// How long answers may take to be sent after the end was asked for.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Bytes a second that the other side must take at the least, of what waits to be sent.
const SLOWEST: u64 = 32 << 10;
/// After an accept that failed: most often there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// Why the API can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Others reach it, and there is no token.
    #[error("{0}")]
    Open(String),
    /// An address is not to be had.
    #[error(
        "the API can't listen on {addr} ({error}): name another address in api.listen, or none (`[]`) for no API"
    )]
    Address {
        /// Which.
        addr: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// Listens where the configuration says; nowhere, where it names no address.
///
/// # Errors
/// An address is taken; or others reach it, and there is no token.
pub async fn bind(keys: &ApiKeys) -> Result<Vec<TcpListener>, BindError> {
    access::check(keys, &keys.listen).map_err(BindError::Open)?;
    let mut listeners = Vec::new();
    for &addr in &keys.listen {
        let listener = TcpListener::bind(addr).await;
        listeners.push(listener.map_err(|error| BindError::Address { addr, error })?);
    }
    Ok(listeners)
}

/// Serves the API until `stop`, and then what is being answered, for a few seconds.
pub async fn serve(service: Service, listeners: Vec<TcpListener>, stop: CancellationToken) {
    let app = router(service.clone(), stop.clone());
    let tasks = TaskTracker::new();
    let taken = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    for listener in listeners {
        let (app, service, stop) = (app.clone(), service.clone(), stop.clone());
        let (connections, taken) = (tasks.clone(), taken.clone());
        tasks.spawn(async move {
            loop {
                let accepted = stop.run_until_cancelled(listener.accept()).await;
                let (stream, client) = match accepted {
                    None => break,
                    Some(Ok(accepted)) => accepted,
                    Some(Err(error)) => {
                        tracing::debug!("a connection to the API could not be accepted: {error}");
                        sleep(PAUSE).await;
                        continue;
                    }
                };
                let keys = service.config();
                let used = Semaphore::MAX_PERMITS.saturating_sub(taken.available_permits());
                let place = taken.clone().try_acquire_owned();
                let Some(place) = place.ok().filter(|_| used < keys.api.connections as usize)
                else {
                    connections.spawn(refuse(stream));
                    continue;
                };
                let served =
                    connection(stream, client, app.clone(), keys.api.timeout, stop.clone());
                connections.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
        });
    }
    stop.cancelled().await;
    tasks.close();
    if timeout(END_WITHIN * 2, tasks.wait()).await.is_err() {
        tracing::debug!("some answers of the API were not taken to their end");
    }
}

/// Says that there is no room.
async fn refuse(mut stream: TcpStream) {
    let body = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
                \"reason\":\"busy\",\"detail\":\"there are too many connections\"}";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         retry-after: 2\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    // Whoever does not take it is not waited for.
    let _ = timeout(Duration::from_secs(1), told).await;
}

async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    app: axum::Router,
    patience: Duration,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let app = app.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Client(client));
        request
    });
    let stream = TokioIo::new(Patient::new(stream, patience));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    let served = http.serve_connection(stream, TowerToHyperService::new(app));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        // Whoever sends nonsense or goes away is nobody's trouble.
        _ = served.as_mut() => return,
        () = stop.cancelled() => served.as_mut().graceful_shutdown(),
    }
    let _ = timeout(END_WITHIN, served).await;
}

/// A stream whose other side must take what is sent: it fails once too little was taken for a while.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while the other side takes less than there is.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Bytes that it took meanwhile.
    taken: u64,
}

impl Patient {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            stalled: None,
            taken: 0,
        }
    }

    /// A few bytes now and then are too little: the clock goes on until as much was taken as in its whole time must be.
    fn count(&mut self, bytes: usize) {
        if self.stalled.is_none() {
            return;
        }
        self.taken = self.taken.saturating_add(bytes as u64);
        let milliseconds = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
        if self.taken >= (SLOWEST / 1000).saturating_mul(milliseconds) {
            self.caught_up();
        }
    }

    /// The clock starts anew when next it has to wait.
    fn caught_up(&mut self) {
        (self.stalled, self.taken) = (None, 0);
    }

    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.count(written.as_ref().map_or(0, |bytes| *bytes));
            return Poll::Ready(written);
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            // Nothing waits to be sent.
            self.caught_up();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_a_byte_now_and_then_is_as_slow_as_who_takes_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut patient = Patient::new(stream, Duration::from_secs(1));
        let wait = |patient: &mut Patient| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = patient.judge(&mut cx, Poll::Pending);
            patient.stalled.is_some()
        };
        assert!(wait(&mut patient));
        for _ in 0..100 {
            patient.count(1);
        }
        assert!(patient.stalled.is_some());
        patient.count(usize::try_from(SLOWEST).unwrap());
        assert!(patient.stalled.is_none());
        assert!(wait(&mut patient) && patient.taken == 0);
    }
}
