//! A network that fails: between the store and a server, it delays what the server says, or loses the end of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) struct Proxy {
    port: u16,
    weather: Arc<Weather>,
}

#[derive(Default)]
struct Weather {
    /// Before each part of an answer.
    delay: Mutex<Duration>,
    /// What happens to the next answer.
    fate: Mutex<Option<Fate>>,
    accepted: AtomicUsize,
    is_over: AtomicBool,
}

#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// So many bytes, and the connection is closed.
    Cut(usize),
    /// So many bytes, and silence.
    Silence(usize),
}

impl Proxy {
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, weather) = (listener.local_addr().unwrap().port(), Arc::<Weather>::default());
        let ours = weather.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if ours.is_over.load(Ordering::SeqCst) {
                    return;
                }
                ours.accepted.fetch_add(1, Ordering::SeqCst);
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) else { continue };
                let questions = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass_on(questions.0, questions.1, None));
                let weather = ours.clone();
                thread::spawn(move || pass_on(server, client, Some(&weather)));
            }
        });
        Self { port, weather }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn delay(&self, delay: Duration) {
        *self.weather.delay.lock().unwrap() = delay;
    }

    pub(crate) fn next_answer(&self, fate: Fate) {
        *self.weather.fate.lock().unwrap() = Some(fate);
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> usize {
        self.weather.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.weather.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, weather: Option<&Weather>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let (mut part, mut fate) = (&buffer[..read], None);
        if let Some(weather) = weather {
            let delay = *weather.delay.lock().unwrap();
            thread::sleep(delay);
            fate = weather.fate.lock().unwrap().take();
            if let Some(Fate::Cut(length) | Fate::Silence(length)) = fate {
                part = &part[..length.min(read)];
            }
        }
        if to.write_all(part).is_err() {
            break;
        }
        match fate {
            None => {}
            Some(Fate::Cut(_)) => break,
            Some(Fate::Silence(_)) => {
                // Until the other side gives up.
                while matches!(to.read(&mut buffer), Ok(1..)) {}
                break;
            }
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
