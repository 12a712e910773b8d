//! The load: kept-alive connections, each with its thread, and a check of each answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::median::AnyError;

/// Connections at a time; few, because the load and the server share the machine.
const CONNECTIONS: usize = 4;

struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> Result<Self, AnyError> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, host: address.to_owned(), buffer: vec![0; 4096] })
    }

    /// Sends a request; returns the head of the answer, which must have a `Content-Length`.
    fn get(&mut self, cookie: Option<&str>) -> Result<&str, AnyError> {
        let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n{cookie}\r\n", self.host);
        self.stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        let head = loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            filled += read;
            if let Some(end) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        if !text.starts_with("HTTP/1.1 200") {
            return Err(text.into());
        }
        let whole = head + 4 + header(text, "content-length").ok_or("no Content-Length")?.parse::<usize>()?;
        while filled < whole {
            filled += self.stream.read(&mut self.buffer[filled..])?;
        }
        Ok(std::str::from_utf8(&self.buffer[..head])?)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// The cookies of new visitors; empty texts if the page has no session.
pub(crate) fn arrive(address: &str, visitors: usize) -> Result<Vec<String>, AnyError> {
    let cookies = each_connection(address, visitors, |connection, _| {
        let cookie = header(connection.get(None)?, "set-cookie").unwrap_or_default();
        Ok(cookie.split(';').next().unwrap_or_default().to_owned())
    })?;
    Ok(cookies.concat())
}

/// The time that the requests of these visitors take. Each visitor stays on one connection.
pub(crate) fn visit(address: &str, cookies: &[String], requests: usize) -> Result<Duration, AnyError> {
    let start = Instant::now();
    each_connection(address, requests, |connection, number| {
        connection.get(Some(&cookies[number % cookies.len()]))?;
        Ok(())
    })?;
    Ok(start.elapsed())
}

fn each_connection<T: Send>(
    address: &str,
    requests: usize,
    send: impl Fn(&mut Connection, usize) -> Result<T, AnyError> + Sync,
) -> Result<Vec<Vec<T>>, AnyError> {
    thread::scope(|threads| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|first| {
                let send = &send;
                threads.spawn(move || {
                    let mut connection = Connection::open(address)?;
                    (first..requests).step_by(CONNECTIONS).map(|number| send(&mut connection, number)).collect()
                })
            })
            .collect();
        connections.into_iter().map(|thread| thread.join().map_err(|_| "a thread of the load panicked")?).collect()
    })
}
