//! Builders: each appends one message to a buffer.
//!
//! What carries only our own text goes through `pgwire`'s structs; what carries a client's bytes is written here,
//! because those need not be UTF-8.

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::startup::Authentication;

use crate::Status;

/// Appends a message: type byte, length, and whatever `body` writes.
pub fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let at = out.len();
    out.put_u32(0);
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

fn cstring(out: &mut BytesMut, text: &[u8]) {
    out.put_slice(text);
    out.put_u8(0);
}

/// ReadyForQuery.
pub fn ready(out: &mut BytesMut, status: Status) {
    out.put_slice(&[b'Z', 0, 0, 0, 5, status.byte()]);
}

/// CommandComplete with this tag.
pub fn command_complete(out: &mut BytesMut, tag: &[u8]) {
    message(out, b'C', |out| cstring(out, tag));
}

/// ParseComplete.
pub fn parse_complete(out: &mut BytesMut) {
    out.put_slice(&[b'1', 0, 0, 0, 4]);
}

/// BindComplete.
pub fn bind_complete(out: &mut BytesMut) {
    out.put_slice(&[b'2', 0, 0, 0, 4]);
}

/// CloseComplete.
pub fn close_complete(out: &mut BytesMut) {
    out.put_slice(&[b'3', 0, 0, 0, 4]);
}

/// NoData: the described statement returns no rows.
pub fn no_data(out: &mut BytesMut) {
    out.put_slice(&[b'n', 0, 0, 0, 4]);
}

/// RowDescription of one column of type text.
pub fn text_column(out: &mut BytesMut, name: &[u8]) {
    const TEXT: u32 = 25;
    message(out, b'T', |out| {
        out.put_u16(1);
        cstring(out, name);
        out.put_slice(&[0; 6]);
        out.put_u32(TEXT);
        out.put_i16(-1);
        out.put_i32(-1);
        out.put_u16(0);
    });
}

/// DataRow of one value in text form.
pub fn text_row(out: &mut BytesMut, value: &[u8]) {
    message(out, b'D', |out| {
        out.put_u16(1);
        out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        out.put_slice(value);
    });
}

/// ParameterDescription of a statement without parameters.
pub fn no_parameters(out: &mut BytesMut) {
    out.put_slice(&[b't', 0, 0, 0, 6, 0, 0]);
}

/// ParameterStatus.
pub fn parameter(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    message(out, b'S', |out| {
        cstring(out, name);
        cstring(out, value);
    });
}

/// BackendKeyData with a key of any length.
pub fn key_data(out: &mut BytesMut, pid: i32, key: &[u8]) {
    message(out, b'K', |out| {
        out.put_i32(pid);
        out.put_slice(key);
    });
}

/// An Authentication request. `pgwire` fails only on bodies that are never built here.
pub fn authentication(out: &mut BytesMut, request: &Authentication) {
    let before = out.len();
    if request.encode(out).is_err() {
        out.truncate(before);
    }
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut BytesMut) {
    authentication(out, &Authentication::Ok);
}

/// AuthenticationSASL with these mechanisms.
pub fn sasl(out: &mut BytesMut, mechanisms: &[&str]) {
    authentication(out, &Authentication::SASL(mechanisms.iter().map(|m| (*m).to_owned()).collect()));
}

/// AuthenticationSASLContinue.
pub fn sasl_continue(out: &mut BytesMut, data: Vec<u8>) {
    authentication(out, &Authentication::SASLContinue(data.into()));
}

/// AuthenticationSASLFinal.
pub fn sasl_final(out: &mut BytesMut, data: Vec<u8>) {
    authentication(out, &Authentication::SASLFinal(data.into()));
}

/// NegotiateProtocolVersion: the newest minor version spoken, and the `_pq_.` options that are not known.
pub fn negotiate(out: &mut BytesMut, version: i32, options: &[&[u8]]) {
    message(out, b'v', |out| {
        out.put_i32(version);
        out.put_i32(i32::try_from(options.len()).unwrap_or(i32::MAX));
        options.iter().for_each(|name| cstring(out, name));
    });
}

/// StartupMessage of this protocol version (`196608` is 3.0).
pub fn startup<'a>(out: &mut BytesMut, version: i32, pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
    let at = out.len();
    out.put_u32(0);
    out.put_i32(version);
    for (name, value) in pairs {
        cstring(out, name);
        cstring(out, value);
    }
    out.put_u8(0);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// CancelRequest.
pub fn cancel(out: &mut BytesMut, pid: i32, key: &[u8]) {
    out.put_u32(u32::try_from(12 + key.len()).unwrap_or(u32::MAX));
    out.put_i32(crate::startup::CANCEL);
    out.put_i32(pid);
    out.put_slice(key);
}

/// Query.
pub fn query(out: &mut BytesMut, text: &[u8]) {
    message(out, b'Q', |out| cstring(out, text));
}

/// Parse; `types` is the count and the object ids as a client sent them.
pub fn parse(out: &mut BytesMut, name: &[u8], text: &[u8], types: &[u8]) {
    message(out, b'P', |out| {
        cstring(out, name);
        cstring(out, text);
        out.put_slice(types);
    });
}

/// Bind; `rest` is everything behind the two names as a client sent it.
pub fn bind(out: &mut BytesMut, portal: &[u8], statement: &[u8], rest: &[u8]) {
    message(out, b'B', |out| {
        cstring(out, portal);
        cstring(out, statement);
        out.put_slice(rest);
    });
}

/// Execute of a portal, to its end.
pub fn execute(out: &mut BytesMut, portal: &[u8]) {
    message(out, b'E', |out| {
        cstring(out, portal);
        out.put_i32(0);
    });
}

/// Describe of a statement.
pub fn describe_statement(out: &mut BytesMut, name: &[u8]) {
    message(out, b'D', |out| {
        out.put_u8(b'S');
        cstring(out, name);
    });
}

/// Close of a statement.
pub fn close_statement(out: &mut BytesMut, name: &[u8]) {
    message(out, b'C', |out| {
        out.put_u8(b'S');
        cstring(out, name);
    });
}

/// Flush.
pub fn flush(out: &mut BytesMut) {
    out.put_slice(&[b'H', 0, 0, 0, 4]);
}

/// Sync.
pub fn sync(out: &mut BytesMut) {
    out.put_slice(&[b'S', 0, 0, 0, 4]);
}

/// Terminate.
pub fn terminate(out: &mut BytesMut) {
    out.put_slice(&[b'X', 0, 0, 0, 4]);
}

/// CopyFail with this reason.
pub fn copy_fail(out: &mut BytesMut, reason: &[u8]) {
    message(out, b'f', |out| cstring(out, reason));
}

/// A password message: a password, or a SASL response.
pub fn password(out: &mut BytesMut, body: &[u8]) {
    message(out, b'p', |out| out.put_slice(body));
}

/// SASLInitialResponse.
pub fn sasl_initial(out: &mut BytesMut, mechanism: &str, data: &[u8]) {
    message(out, b'p', |out| {
        cstring(out, mechanism.as_bytes());
        out.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
        out.put_slice(data);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_what_readers_read() {
        let mut out = BytesMut::new();
        parse(&mut out, b"n", b"select $1", b"\0\0");
        let frame = crate::next_frame(&out, crate::Limits::default()).unwrap().unwrap();
        let read = crate::frontend::Parse::read(frame.body).unwrap();
        assert_eq!((read.name, read.text, read.types), (&b"n"[..], &b"select $1"[..], &b"\0\0"[..]));
        out.clear();
        sasl(&mut out, &["SCRAM-SHA-256"]);
        assert_eq!(&out[..], b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
        out.clear();
        startup(&mut out, 196_608, [(&b"user"[..], &b"u"[..])]);
        assert_eq!(&out[..], b"\0\0\0\x10\0\x03\0\0user\0u\0\0");
    }
}
