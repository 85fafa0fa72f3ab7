//! Frontend messages as bytes, one function each, by the chapter "Message Formats" of PostgreSQL's
//! documentation. They check nothing: a test may want what is wrong.

/// Protocol version 3.0.
pub const VERSION_3_0: u32 = 0x0003_0000;
/// Protocol version 3.2 (PostgreSQL 18).
pub const VERSION_3_2: u32 = 0x0003_0002;

/// Any message: its type, its length, its body.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(untagged(body));
    bytes
}

/// A message of the start-up phase: length and body, no type.
pub fn untagged(body: &[u8]) -> Vec<u8> {
    let mut bytes = count32(body.len() + 4).to_vec();
    bytes.extend(body);
    bytes
}

/// StartupMessage.
pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        text(&mut body, name);
        text(&mut body, value);
    }
    body.push(0);
    untagged(&body)
}

/// SSLRequest.
pub fn ssl_request() -> Vec<u8> {
    untagged(&80_877_103_u32.to_be_bytes())
}

/// GSSENCRequest.
pub fn gss_request() -> Vec<u8> {
    untagged(&80_877_104_u32.to_be_bytes())
}

/// CancelRequest; `secret` has 4 bytes in protocol 3.0 and up to 256 in 3.2.
pub fn cancel(pid: u32, secret: &[u8]) -> Vec<u8> {
    let mut body = 80_877_102_u32.to_be_bytes().to_vec();
    body.extend(pid.to_be_bytes());
    body.extend(secret);
    untagged(&body)
}

/// PasswordMessage, with the terminating zero.
pub fn password(password: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, password);
    frame(b'p', &body)
}

/// SASLInitialResponse.
pub fn sasl_initial_response(mechanism: &str, response: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, mechanism);
    body.extend(count32(response.len()));
    body.extend(response);
    frame(b'p', &body)
}

/// SASLResponse.
pub fn sasl_response(response: &[u8]) -> Vec<u8> {
    frame(b'p', response)
}

/// Query.
pub fn query(sql: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, sql);
    frame(b'Q', &body)
}

/// Parse, with the parameter types' object identifiers (0 or none: to be inferred).
pub fn parse(statement: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, statement);
    text(&mut body, sql);
    body.extend(count16(types.len()));
    types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    frame(b'P', &body)
}

/// Bind, with parameters in text format (`None` is NULL) and results in text format.
pub fn bind(portal: &str, statement: &str, parameters: &[Option<&str>]) -> Vec<u8> {
    let parameters: Vec<_> = parameters.iter().map(|value| value.map(str::as_bytes)).collect();
    bind_formats(portal, statement, &[], &parameters, &[])
}

/// Bind, with the formats of parameters and results (0 text, 1 binary) spelled out.
pub fn bind_formats(
    portal: &str,
    statement: &str,
    formats: &[i16],
    parameters: &[Option<&[u8]>],
    results: &[i16],
) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, portal);
    text(&mut body, statement);
    shorts(&mut body, formats);
    body.extend(count16(parameters.len()));
    parameters.iter().for_each(|value| nullable(&mut body, *value));
    shorts(&mut body, results);
    frame(b'B', &body)
}

/// Describe; `kind` is `b'S'` for a statement, `b'P'` for a portal.
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    named(b'D', kind, name)
}

/// Close; `kind` is `b'S'` for a statement, `b'P'` for a portal.
pub fn close(kind: u8, name: &str) -> Vec<u8> {
    named(b'C', kind, name)
}

/// Execute; 0 rows are all rows.
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, portal);
    body.extend(rows.to_be_bytes());
    frame(b'E', &body)
}

/// Sync.
pub fn sync() -> Vec<u8> {
    frame(b'S', &[])
}

/// Flush.
pub fn flush() -> Vec<u8> {
    frame(b'H', &[])
}

/// FunctionCall, with arguments and result in text format.
pub fn function_call(oid: u32, arguments: &[Option<&str>]) -> Vec<u8> {
    let mut body = oid.to_be_bytes().to_vec();
    shorts(&mut body, &[]);
    body.extend(count16(arguments.len()));
    arguments.iter().for_each(|value| nullable(&mut body, value.map(str::as_bytes)));
    body.extend(0_i16.to_be_bytes());
    frame(b'F', &body)
}

/// CopyData.
pub fn copy_data(data: &[u8]) -> Vec<u8> {
    frame(b'd', data)
}

/// CopyDone.
pub fn copy_done() -> Vec<u8> {
    frame(b'c', &[])
}

/// CopyFail.
pub fn copy_fail(reason: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, reason);
    frame(b'f', &body)
}

/// Terminate.
pub fn terminate() -> Vec<u8> {
    frame(b'X', &[])
}

fn named(tag: u8, kind: u8, name: &str) -> Vec<u8> {
    let mut body = vec![kind];
    text(&mut body, name);
    frame(tag, &body)
}

fn text(body: &mut Vec<u8>, value: &str) {
    body.extend(value.as_bytes());
    body.push(0);
}

fn shorts(body: &mut Vec<u8>, values: &[i16]) {
    body.extend(count16(values.len()));
    values.iter().for_each(|value| body.extend(value.to_be_bytes()));
}

fn nullable(body: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => body.extend((-1_i32).to_be_bytes()),
        Some(bytes) => {
            body.extend(count32(bytes.len()));
            body.extend(bytes);
        }
    }
}

/// More than fits is a test's mistake; the largest count is then as good as any.
fn count32(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

fn count16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_documentation() {
        assert_eq!(sync(), b"S\0\0\0\x04");
        assert_eq!(query("x"), b"Q\0\0\0\x06x\0");
        assert_eq!(ssl_request(), b"\0\0\0\x08\x04\xd2\x16\x2f");
        assert_eq!(cancel(1, &[0, 0, 0, 2]), b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02");
        assert_eq!(startup(VERSION_3_0, &[("user", "a")]), b"\0\0\0\x10\0\x03\0\0user\0a\0\0");
        assert_eq!(parse("s", "x", &[23]), b"P\0\0\0\x0es\0x\0\0\x01\0\0\0\x17");
        let bound = b"B\0\0\0\x17p\0s\0\0\0\0\x02\0\0\0\x01v\xff\xff\xff\xff\0\0";
        assert_eq!(bind("p", "s", &[Some("v"), None]), bound);
        assert_eq!(execute("p", 5), b"E\0\0\0\x0ap\0\0\0\0\x05");
        assert_eq!(describe(b'S', "s"), b"D\0\0\0\x07Ss\0");
    }
}
