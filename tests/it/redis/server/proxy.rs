//! A proxy between the store and a server: it delays answers, cuts them off, counts round trips.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) struct Proxy {
    port: u16,
    network: Arc<Network>,
}

#[derive(Default)]
struct Network {
    /// The delay before each part of an answer.
    delay: Mutex<Duration>,
    fate: Mutex<Option<Fate>>,
    accepted: AtomicUsize,
    /// Requests that followed an answer: the number of round trips, if there is one connection.
    round_trips: AtomicUsize,
    is_waiting: AtomicBool,
    is_over: AtomicBool,
}

#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// Passes on so many bytes and closes the connection.
    Cut(usize),
    /// Passes on so many bytes and then nothing.
    Silence(usize),
}

impl Proxy {
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, network) = (listener.local_addr().unwrap().port(), Arc::<Network>::default());
        let ours = network.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if ours.is_over.load(Ordering::SeqCst) {
                    return;
                }
                ours.accepted.fetch_add(1, Ordering::SeqCst);
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) else { continue };
                let questions = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (requests, answers) = (ours.clone(), ours.clone());
                thread::spawn(move || pass_on(questions.0, questions.1, &requests, false));
                thread::spawn(move || pass_on(server, client, &answers, true));
            }
        });
        Self { port, network }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs `work`. Returns its result, and the number of round trips that it took.
    pub(crate) fn cost<T>(&self, work: impl FnOnce() -> T) -> (T, usize) {
        let before = self.network.round_trips.load(Ordering::SeqCst);
        let result = work();
        (result, self.network.round_trips.load(Ordering::SeqCst) - before)
    }

    pub(crate) fn delay(&self, delay: Duration) {
        *self.network.delay.lock().unwrap() = delay;
    }

    pub(crate) fn next_answer(&self, fate: Fate) {
        *self.network.fate.lock().unwrap() = Some(fate);
    }

    /// The number of connections.
    pub(crate) fn accepted(&self) -> usize {
        self.network.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.network.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, network: &Network, is_answer: bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let (mut part, mut fate) = (&buffer[..read], None);
        if is_answer {
            network.is_waiting.store(false, Ordering::SeqCst);
            let delay = *network.delay.lock().unwrap();
            thread::sleep(delay);
            fate = network.fate.lock().unwrap().take();
            if let Some(Fate::Cut(length) | Fate::Silence(length)) = fate {
                part = &part[..length.min(read)];
            }
        } else if !network.is_waiting.swap(true, Ordering::SeqCst) {
            network.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        if to.write_all(part).is_err() {
            break;
        }
        match fate {
            None => {}
            Some(Fate::Cut(_)) => break,
            Some(Fate::Silence(_)) => {
                // Until the other side closes the connection.
                while matches!(to.read(&mut buffer), Ok(1..)) {}
                break;
            }
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
