//! A plain HTTP/1.1 keep-alive client that only posts and reads a status: cheap enough to press a server hard.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer that is taken.
const LIMIT: usize = 64 << 10;

/// One connection; opened again when it was lost.
pub struct Connection {
    address: SocketAddr,
    /// Request line and the headers that are always the same.
    head: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// To `path` at this address; nothing is opened yet.
    pub fn new(address: SocketAddr, host: &str, path: &str) -> Self {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
        Self { address, head, stream: None, buffer: Vec::with_capacity(4096) }
    }

    /// Posts the body under its signature and returns the answer's status.
    ///
    /// # Errors
    /// When no connection can be made, or it ends before a whole answer came.
    pub async fn post(&mut self, signature: &str, body: &[u8]) -> io::Result<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address).await?,
        };
        self.buffer.clear();
        self.buffer.extend_from_slice(self.head.as_bytes());
        let rest = format!("X-Hub-Signature-256: {signature}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.buffer.extend_from_slice(rest.as_bytes());
        self.buffer.extend_from_slice(body);
        stream.write_all(&self.buffer).await?;

        self.buffer.clear();
        loop {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = Answer::parse(&self.buffer)? {
                // An answer of unknown length ends with its connection.
                if answer.keep_alive {
                    self.stream = Some(stream);
                }
                return Ok(answer.status);
            }
            if self.buffer.len() > LIMIT {
                return Err(invalid("the answer is too long"));
            }
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    keep_alive: bool,
}

impl Answer {
    /// Reads a whole answer; `None` while some of it is still on its way.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("the answer is not HTTP"))?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
            .ok_or_else(|| invalid("the answer is not HTTP/1.1"))?;
        let mut length = None;
        let mut keep_alive = true;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                keep_alive = !value.trim().eq_ignore_ascii_case("close");
            }
        }
        match length {
            None => Ok(Some(Self { status, keep_alive: false })),
            Some(length) if bytes.len() - end - 4 >= length => Ok(Some(Self { status, keep_alive })),
            Some(_) => Ok(None),
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_answers_as_they_come_in() {
        let whole = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nRetry-After: 1\r\n\r\nno";
        for cut in 0..whole.len() {
            assert_eq!(Answer::parse(&whole[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(Answer::parse(whole).unwrap(), Some(Answer { status: 503, keep_alive: true }));
        let closing = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n";
        assert_eq!(Answer::parse(closing).unwrap(), Some(Answer { status: 200, keep_alive: false }));
        let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(Answer::parse(endless).unwrap(), Some(Answer { status: 200, keep_alive: false }));
        assert!(Answer::parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
