//! As much HTTP as it takes to ask a client whether it seeds.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server answered.
pub(super) struct Response {
    /// Status line and headers.
    pub(super) head: String,
    /// The body as it came.
    pub(super) body: Vec<u8>,
}

impl Response {
    /// The value of a header, by its name in any case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON; `None` if it is none.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Requests `path`, by `POST` where there is a body. `headers` are whole lines, each ended by CRLF.
pub(super) fn request(
    server: SocketAddr,
    path: &str,
    headers: &str,
    body: Option<&str>,
) -> io::Result<Response> {
    let timeout = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    // Some servers keep the connection open in spite of `close`: what came until then counts.
    while let Err(error) = stream.read_to_end(&mut answer) {
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionReset => break,
            _ => return Err(error),
        }
    }
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Response {
        head: String::from_utf8_lossy(&answer[..end]).into_owned(),
        body: answer[end + 4..].to_vec(),
    })
}
