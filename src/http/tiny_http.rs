//! The adapter for `tiny_http`: what of a request the layer reads, and how its headers get into a response.

use std::io::Read;

use tiny_http::{Header, Request, Response};

use super::{Finished, RequestHead};

impl<'r> From<&'r Request> for RequestHead<'r> {
    fn from(request: &'r Request) -> Self {
        let cookies = request.headers().iter().filter(|header| header.field.equiv("Cookie"));
        Self::new(cookies.map(|header| header.value.as_str()))
    }
}

impl Finished {
    /// The response with the headers added; those it has stay.
    pub fn add_to<R: Read>(&self, mut response: Response<R>) -> Response<R> {
        for (name, value) in self.headers() {
            // Never refused: the options allow nothing but ASCII in a cookie.
            if let Ok(header) = Header::from_bytes(name, value) {
                response.add_header(header);
            }
        }
        response
    }
}
