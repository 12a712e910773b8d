//! A client that sends given bytes and shows every byte that comes back.

use std::io::{Read, Write as _};
use std::net::TcpStream;

use super::{Listener, PATIENCE};

/// A response as it came over the wire: the body is not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn parse(head: &[u8], body: Vec<u8>) -> Self {
        let head = std::str::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { status, headers: lines.map(|line| pair(line).unwrap()).collect(), body }
    }

    /// The values of all headers of this name, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of this header.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} once: {self:?}");
        all[0]
    }

    /// The `id=...` that a browser would send back.
    #[track_caller]
    pub(crate) fn sent_back(&self) -> String {
        self.one("Set-Cookie").split(';').next().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn assert_silent(&self) {
        assert!(self.all("Set-Cookie").is_empty(), "no Set-Cookie: {self:?}");
    }

    /// The body as text, with its transfer coding taken off.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.decoded()).unwrap()
    }

    /// The body with its transfer coding taken off.
    #[track_caller]
    pub(crate) fn decoded(&self) -> Vec<u8> {
        if self.all("Transfer-Encoding") != ["chunked"] {
            return self.body.clone();
        }
        let (mut rest, mut decoded) = (self.body.as_slice(), Vec::new());
        loop {
            let line = rest.windows(2).position(|pair| pair == b"\r\n").expect("a chunk's length");
            let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            let (chunk, after) = rest[line + 2..].split_at(length);
            rest = after.strip_prefix(b"\r\n").expect("the end of a chunk");
            decoded.extend_from_slice(chunk);
            if length == 0 {
                assert!(rest.is_empty(), "nothing comes after the last chunk");
                return decoded;
            }
        }
    }
}

/// One request on a connection of its own, and all that comes back until the server closes it.
#[track_caller]
pub(crate) fn exchange(site: &dyn Listener, request_line: &str, headers: &[(&str, &str)]) -> Reply {
    let mut wire = Wire::open(site, request_line, &[headers, &[("Connection", "close")]].concat());
    let head = wire.head();
    let mut body = Vec::new();
    wire.0.read_to_end(&mut body).unwrap();
    Reply { body, ..head }
}

/// A connection on which a request was sent.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    #[track_caller]
    pub(crate) fn open(site: &dyn Listener, request_line: &str, headers: &[(&str, &str)]) -> Self {
        let socket = TcpStream::connect(site.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut wire = Self(socket);
        wire.send(request_line, headers);
        wire
    }

    /// One more request on the same connection.
    #[track_caller]
    pub(crate) fn send(&mut self, request_line: &str, headers: &[(&str, &str)]) {
        let mut request = format!("{request_line}\r\nHost: localhost\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        self.0.write_all((request + "\r\n").as_bytes()).unwrap();
    }

    /// The response to the last byte that it announced, and not a byte more. The connection stays
    /// open.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        let head = self.head();
        let mut body = vec![0; head.one("Content-Length").parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        Reply { body, ..head }
    }

    /// The head of the response, and not a byte more.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Reply {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte());
        }
        Reply::parse(&head, Vec::new())
    }

    #[track_caller]
    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    #[track_caller]
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// The response to these bytes. None if the server closes the connection without one.
pub(crate) fn exchange_bytes(site: &dyn Listener, request: &[u8]) -> Option<Reply> {
    let mut socket = TcpStream::connect(site.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may close the connection before it has read all bytes.
    let _ = socket.write_all(request);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    Some(Reply::parse(&answer[..end], answer[end..].to_vec()))
}
