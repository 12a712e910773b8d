//! The adapter for `tiny_http`: what of a request the layer reads, and how its headers get into a
//! response.

use std::io::Read;

use tiny_http::{Header, Request, Response};

use super::{Finished, RequestHead, ResponseHeaders};

impl<'r> From<&'r Request> for RequestHead<'r> {
    fn from(request: &'r Request) -> Self {
        let headers = request.headers().iter();
        Self::from_headers(headers.map(|header| (header.field.as_str().as_str(), header.value.as_str())))
            .secure(request.secure())
    }
}

impl Finished {
    /// The response with the headers merged into its own: see [`write_to`](Self::write_to).
    pub fn add_to<R: Read>(&self, response: Response<R>) -> Response<R> {
        if self.headers().next().is_none() {
            return response;
        }
        // A response of tiny_http gives none of its headers back, so a new one is made.
        let mut headers = response.headers().to_vec();
        self.write_to(&mut headers);
        let (status, length) = (response.status_code(), response.data_length());
        let chunked_threshold = response.chunked_threshold();
        let response = Response::new(status, headers, response.into_reader(), length, None);
        response.with_chunked_threshold(chunked_threshold)
    }
}

impl ResponseHeaders for Vec<Header> {
    fn take(&mut self, name: &str) -> Vec<String> {
        let is_named = |header: &mut Header| header.field.as_str().as_str().eq_ignore_ascii_case(name);
        self.extract_if(.., is_named).map(|header| header.value.as_str().to_owned()).collect()
    }

    fn add(&mut self, name: &'static str, value: String) {
        // Never refused: the options allow nothing but ASCII in a cookie, and the others come from
        // headers.
        self.extend(Header::from_bytes(name, value));
    }
}
