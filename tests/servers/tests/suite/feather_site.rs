//! A real `feather` server with its own port.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use feather::{App, AppContext, MiddlewareResult, Request, Response};
use http::HeaderMap;
use lembro::Error;
use lembro::web::{ResponseHeaders, SessionLayer};

use crate::wire::{Application, Listener, PATIENCE, Target};

/// A server that runs until the tests end, because feather cannot be stopped.
pub(crate) struct FeatherSite {
    address: SocketAddr,
}

/// A response of the server, whose type is its own: the layer needs only two methods of it.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl ResponseHeaders for Answer {
    fn take(&mut self, name: &str) -> Vec<String> {
        self.headers.take(name)
    }

    fn add(&mut self, name: &str, value: String) {
        self.headers.add(name, value);
    }
}

impl FeatherSite {
    pub(crate) fn start(layer: SessionLayer, application: Application) -> Self {
        // feather does not tell which port it got, so it is given a free one.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let serve = move |request: &mut Request, response: &mut Response, _: &AppContext| {
            let target = Target::new(request.method.as_str(), request.uri.path());
            let answer = layer.try_around(
                &request.headers,
                |session| {
                    let page = application(&target, session)?;
                    let (head, body) = page
                        .into_http(|mut reader, _| {
                            let mut body = Vec::new();
                            reader.read_to_end(&mut body).map(|_| body)
                        })
                        .into_parts();
                    Ok(Answer {
                        status: head.status.as_u16(),
                        headers: head.headers,
                        body: body.map_err(Error::store)?,
                    })
                },
                |error| {
                    let (status, text) = layer.error_page(&error);
                    Answer { status, headers: HeaderMap::new(), body: text.into() }
                },
            );
            response.set_status(answer.status);
            response.headers = answer.headers;
            if answer.status != 304 {
                response.send_bytes(answer.body);
            }
            Ok(MiddlewareResult::End)
        };
        thread::spawn(move || {
            let mut app = App::without_logger();
            // More threads than any test has requests that wait for each other.
            app.workers(12);
            app.use_middleware(serve);
            app.listen(address.to_string());
        });
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "feather does not listen");
            thread::sleep(Duration::from_millis(2));
        }
        Self { address }
    }
}

impl Listener for FeatherSite {
    fn address(&self) -> SocketAddr {
        self.address
    }
}
