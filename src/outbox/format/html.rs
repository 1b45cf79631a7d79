//! HTML that strays into a chatbot's Markdown.

/// Tags that only format. Their text stays; any other `<word>` is taken for something the author wanted to show.
const FORMATTING: &[&str] = &[
    "a",
    "b",
    "blockquote",
    "body",
    "center",
    "code",
    "dd",
    "del",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "html",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "s",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
];

/// Drops comments and formatting tags, turns `<br>` into a line break, keeps everything else as written.
pub(super) fn strip(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (end, shown) =
            if rest.starts_with("<!--") { (rest.find("-->").map(|i| i + 3), "") } else { tag(rest) };
        // Nothing closes it: nothing later can be closed either.
        let Some(end) = end else { break };
        out.push_str(if shown == "<" { &rest[..end] } else { shown });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Where the tag at the start of `rest` ends, and what is shown for it; `<` means itself.
fn tag(rest: &str) -> (Option<usize>, &'static str) {
    let name = rest[1..].strip_prefix('/').unwrap_or(&rest[1..]);
    let length = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let name = name[..length].to_ascii_lowercase();
    let end = rest.find('>').map(|i| i + 1);
    match name.as_str() {
        "br" => (end, "\n"),
        name if FORMATTING.contains(&name) => (end, ""),
        _ => (Some(1), "<"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_goes_and_meaning_stays() {
        for (html, text) in [
            ("<p>Hello <b>you</b></p>", "Hello you"),
            ("a<br>b<br/>c<BR />d", "a\nb\nc\nd"),
            ("x<!-- <b>hidden</b> -->y", "xy"),
            ("<name> and </name>, 1 < 2 > 0", "<name> and </name>, 1 < 2 > 0"),
            ("<a href=\"https://x.y\">shop</a>", "shop"),
            ("<!-- open", "<!-- open"),
            ("<b", "<b"),
            ("<", "<"),
            ("<é>", "<é>"),
        ] {
            assert_eq!(strip(html), text, "{html}");
        }
    }
}
