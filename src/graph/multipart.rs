//! `multipart/form-data`, for bodies that are in memory anyway: uploads to Graph, and uploads to us.

use memchr::memmem;

/// One field of a form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part<'a> {
    /// The field's name.
    pub name: String,
    /// The file's name, if it is a file.
    pub filename: Option<String>,
    /// Its `Content-Type`, if it says one.
    pub mime_type: Option<String>,
    /// Its bytes.
    pub content: &'a [u8],
}

/// A body of these parts, and the `Content-Type` that goes with it. `boundary` must not occur in any of them.
pub fn write(boundary: &str, parts: &[Part]) -> (String, Vec<u8>) {
    let size = parts.iter().map(|part| part.content.len() + 512).sum();
    let mut body = Vec::with_capacity(size);
    for part in parts {
        let mut head =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", plain(&part.name));
        if let Some(filename) = &part.filename {
            head += &format!("; filename=\"{}\"", plain(filename));
        }
        if let Some(mime_type) = &part.mime_type {
            head += &format!("\r\nContent-Type: {}", plain(mime_type));
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// The parts of a body with this `Content-Type`; `None`: it is no such form.
pub fn read<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<Part<'a>>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())?;
    let line = format!("--{boundary}");
    let lines: Vec<usize> = memmem::find_iter(body, &line).collect();
    let mut parts = Vec::new();
    for ends in lines.windows(2) {
        let piece = body[ends[0] + line.len()..ends[1]].strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
        let at = memmem::find(piece, b"\r\n\r\n")?;
        let (head, content) = (String::from_utf8_lossy(&piece[..at]).into_owned(), &piece[at + 4..]);
        let mut part = Part { content, ..Part::default() };
        for (name, value) in head.split("\r\n").filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-disposition") {
                part.name = parameter(value, "name").unwrap_or_default();
                part.filename = parameter(value, "filename");
            } else if name.eq_ignore_ascii_case("content-type") {
                part.mime_type = Some(value.trim().to_owned());
            }
        }
        parts.push(part);
    }
    Some(parts)
}

/// `name` of `…; name="value"; …`. Values hold no semicolon that matters here but in quotes.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let at = rest.find(name)?;
        let starts = rest[..at].trim_end().ends_with(';') || rest[..at].trim().is_empty();
        let after = &rest[at + name.len()..];
        match after.strip_prefix('=').filter(|_| starts) {
            Some(value) => {
                return Some(match value.strip_prefix('"') {
                    Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
                    None => value.split(';').next().unwrap_or_default().trim().to_owned(),
                });
            }
            None => rest = after,
        }
    }
}

/// Without what would end a quoted word or a line.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> Part<'_> {
        Part {
            name: "file".into(),
            filename: Some("näme.png".into()),
            mime_type: Some("image/png".into()),
            content,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes: Vec<u8> = (0..=255).chain(*b"\r\n--other\r\n\r\n").collect();
        let parts = [Part { name: "type".into(), content: b"image/png", ..Part::default() }, file(&bytes)];
        let (kind, body) = write("b0undary", &parts);
        assert_eq!(read(&kind, &body), Some(parts.to_vec()));
        assert_eq!(read("multipart/form-data; boundary=\"b0undary\"", &body), Some(parts.to_vec()));
        assert_eq!(read("multipart/form-data; boundary=another", &body), Some(Vec::new()));
        assert_eq!(read("application/json", &body), None);
        assert_eq!(read("multipart/form-data", &body), None);
    }

    #[test]
    fn nothing_breaks_out_of_a_head() {
        let evil = Part { filename: Some("a\"\r\nX: y".into()), ..file(b"x") };
        let (kind, body) = write("b", std::slice::from_ref(&evil));
        assert_eq!(read(&kind, &body).unwrap()[0].filename.as_deref(), Some("aX: y"));
    }

    #[test]
    fn broken_forms_are_none_or_empty() {
        for body in ["", "--b", "--b--", "--b\r\n--b--", "--bx\r\n\r\n\r\n--b", "--b\r\nno head\r\n--b--"] {
            let parts = read("multipart/form-data; boundary=b", body.as_bytes());
            assert!(parts.is_none_or(|parts| parts.is_empty()), "{body:?}");
        }
    }
}
