//! What programs print for people, as one line again.

/// Undoes the wrapping of lines: what begins with four blanks and is no line of a file goes on with the line before.
#[must_use]
pub fn unwrapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("    ") {
            Some(rest) if out.ends_with('\n') && !rest.starts_with(' ') && !rest.starts_with('|') => {
                out.pop();
                out.push(' ');
                out.push_str(rest);
            }
            _ => out.push_str(line),
        }
    }
    out
}
