//! Markdown, as chatbots write it, into what WhatsApp shows: `*bold*`, `_italic_`, `~struck~`, code, lists, quotes.
//!
//! Plain text has to come through unharmed, so where Markdown and ordinary writing disagree (`5*3*2`, URLs with
//! underscores, `[Date]: tomorrow`) ordinary writing wins. The author's own blank lines are kept, at most one.

mod html;
mod split;

use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem;
use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag};

pub use split::{MAX_TEXT, split};

const OPTIONS: Options = Options::ENABLE_STRIKETHROUGH.union(Options::ENABLE_TABLES);

/// Quotes and lists nested deeper than this are no longer indented: nobody reads them, and each level costs a
/// pass over the text.
const MAX_NESTING: usize = 10;

/// Rewrites Markdown for WhatsApp. Lines carry no trailing white space; blank input, or input of comments alone,
/// gives an empty string.
pub fn to_whatsapp(markdown: &str) -> String {
    let source = markdown.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "");
    let source = keep_unused_definitions(source);
    let mut page = Page::new(&source);
    for (event, range) in Parser::new_ext(&source, OPTIONS).into_offset_iter() {
        page.take(event, range);
    }
    let out = page.frames.pop().map(|frame| frame.text).unwrap_or_default();
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n").trim().to_owned()
}

/// The page while it is written. Every `Start` opens a frame and every `End` closes the last one into its
/// parent, so that a quote or an item can prefix its finished lines.
struct Page<'a> {
    source: &'a str,
    frames: Vec<Frame<'a>>,
    /// The next number of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// How many bold, italic and struck frames are open: WhatsApp cannot nest one in itself.
    open_marks: [usize; 3],
    /// How many quotes and items are open.
    nesting: usize,
    in_head: bool,
    in_table: bool,
    cells: usize,
}

struct Frame<'a> {
    text: String,
    close: Close<'a>,
}

/// What happens to a frame's text when it closes.
enum Close<'a> {
    Plain,
    Mark(Mark),
    /// Not emphasis after all: the delimiters go back to where they stood.
    Literal(&'a str, &'a str),
    Link(CowStr<'a>),
    Code {
        fenced: bool,
    },
    Html,
    Quote,
    Item(String),
    List,
    Table,
    Head,
}

#[derive(Clone, Copy)]
enum Mark {
    Bold,
    Italic,
    Struck,
}

impl Mark {
    fn sign(self) -> char {
        ['*', '_', '~'][self as usize]
    }
}

impl<'a> Page<'a> {
    fn new(source: &'a str) -> Self {
        let page = Frame { text: String::with_capacity(source.len()), close: Close::Plain };
        Self {
            source,
            frames: vec![page],
            lists: Vec::new(),
            open_marks: [0; 3],
            nesting: 0,
            in_head: false,
            in_table: false,
            cells: 0,
        }
    }

    fn take(&mut self, event: Event<'a>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.open(tag, range),
            Event::End(_) => self.close(),
            Event::Text(text) | Event::Html(text) => self.push(&text),
            Event::Code(code) if code.contains('`') => self.push(&code),
            Event::Code(code) => self.push(&format!("`{code}`")),
            Event::InlineHtml(tag) => {
                let text = html::strip(&tag);
                self.push(if self.in_table && text == "\n" { " " } else { &text });
            }
            Event::SoftBreak | Event::HardBreak => self.push("\n"),
            Event::Rule => {
                self.separate(range.start);
                self.push("---");
            }
            // Never emitted: the extensions are off.
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.push(&text);
            }
            Event::TaskListMarker(_) => {}
        }
    }

    fn push(&mut self, text: &str) {
        if let Some(frame) = self.frames.last_mut() {
            frame.text.push_str(text);
        }
    }

    /// Ends the block before, with a blank line where the author left one.
    fn separate(&mut self, start: usize) {
        let Some(frame) = self.frames.last_mut().filter(|frame| !frame.text.is_empty()) else { return };
        let before = self.source[..start].bytes().rev();
        let gap = before.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'>'));
        let newlines = gap.filter(|byte| *byte == b'\n').count();
        frame.text.push_str(if newlines > 1 { "\n\n" } else { "\n" });
    }

    fn open(&mut self, tag: Tag<'a>, range: Range<usize>) {
        let close = match tag {
            Tag::Emphasis => self.marked(Mark::Italic, 1, range),
            Tag::Strong => self.marked(Mark::Bold, 2, range),
            Tag::Strikethrough => {
                let width = if self.source[range.start..].starts_with("~~") { 2 } else { 1 };
                self.marked(Mark::Struck, width, range)
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => Close::Link(dest_url),
            Tag::TableHead => {
                self.in_head = true;
                self.cells = 0;
                Close::Head
            }
            Tag::TableRow => {
                self.push("\n");
                self.cells = 0;
                Close::Plain
            }
            Tag::TableCell => {
                if self.cells > 0 {
                    self.push(" | ");
                }
                self.cells += 1;
                if self.in_head { self.mark(Mark::Bold) } else { Close::Plain }
            }
            block => {
                self.separate(range.start);
                self.open_block(block, range)
            }
        };
        self.frames.push(Frame { text: String::new(), close });
    }

    fn open_block(&mut self, tag: Tag<'a>, range: Range<usize>) -> Close<'a> {
        match tag {
            Tag::Heading { .. } => self.mark(Mark::Bold),
            Tag::CodeBlock(kind) => Close::Code { fenced: matches!(kind, CodeBlockKind::Fenced(_)) },
            Tag::HtmlBlock => Close::Html,
            Tag::BlockQuote(_) => {
                self.nesting += 1;
                Close::Quote
            }
            Tag::List(first) => {
                self.lists.push(first);
                Close::List
            }
            Tag::Item => {
                self.nesting += 1;
                let marker = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let digits = self.source[range].trim_start();
                        let digits = digits.trim_start_matches(|c: char| c.is_ascii_digit());
                        let marker = format!("{number}{} ", if digits.starts_with(')') { ')' } else { '.' });
                        *number = number.saturating_add(1);
                        marker
                    }
                    _ => "- ".to_owned(),
                };
                Close::Item(marker)
            }
            Tag::Table(_) => {
                self.in_table = true;
                Close::Table
            }
            _ => Close::Plain,
        }
    }

    fn mark(&mut self, mark: Mark) -> Close<'a> {
        self.open_marks[mark as usize] += 1;
        Close::Mark(mark)
    }

    /// Emphasis, if it is meant: WhatsApp formats whole words only, and `5*3*2` or a URL is no emphasis.
    fn marked(&mut self, mark: Mark, width: usize, range: Range<usize>) -> Close<'a> {
        let before = self.source[..range.start].chars().next_back();
        let after = self.source[range.end..].chars().next();
        let touches = |test: fn(char) -> bool| before.is_some_and(test) || after.is_some_and(test);
        let in_word = touches(char::is_alphanumeric);
        if self.in_path(&range) || (in_word && (width == 1 || touches(char::is_numeric))) {
            let open = self.source.get(range.start..range.start + width);
            let close = self.source.get(range.end.saturating_sub(width)..range.end);
            return Close::Literal(open.unwrap_or_default(), close.unwrap_or_default());
        }
        if in_word { Close::Plain } else { self.mark(mark) }
    }

    /// Whether the delimiters belong to a URL, or to a name such as `__init__.py`.
    fn in_path(&self, range: &Range<usize>) -> bool {
        let near = &self.source.as_bytes()[range.start.saturating_sub(2048)..range.start];
        let word = near.iter().rposition(u8::is_ascii_whitespace).map_or(near, |space| &near[space..]);
        if memmem::find(word, b"://").is_some() {
            return true;
        }
        let rest = &self.source.as_bytes()[range.end..];
        let goes_on = matches!(rest, [b'.' | b'/' | b'-', next, ..] if next.is_ascii_alphanumeric());
        self.source[range.start..].starts_with('_') && (goes_on || matches!(word, [.., b'.' | b'/']))
    }

    fn close(&mut self) {
        let Some(Frame { text, close }) = self.frames.pop() else { return };
        let text = match close {
            Close::Plain => text,
            Close::Mark(mark) => {
                self.open_marks[mark as usize] -= 1;
                if self.open_marks[mark as usize] == 0 { wrap(&text, mark.sign()) } else { text }
            }
            Close::Literal(open, close) => format!("{open}{text}{close}"),
            Close::Link(url) => link(text, &url),
            Close::Code { fenced } => {
                let code = text.trim_end_matches('\n');
                let fence = fenced && !code.trim().is_empty() && !code.contains("```");
                if fence { format!("```\n{code}\n```") } else { code.to_owned() }
            }
            Close::Html => html::strip(&text).trim().to_owned(),
            Close::Quote => {
                self.nesting -= 1;
                if self.nesting < MAX_NESTING { prefix(&text, "> ", "> ") } else { text }
            }
            Close::Item(marker) => {
                self.nesting -= 1;
                let indent =
                    if self.nesting < MAX_NESTING { " ".repeat(marker.len()) } else { String::new() };
                if text.is_empty() { marker } else { prefix(&text, &marker, &indent) }
            }
            Close::List => {
                self.lists.pop();
                text
            }
            Close::Table => {
                self.in_table = false;
                text
            }
            Close::Head => {
                self.in_head = false;
                text
            }
        };
        match self.frames.last_mut() {
            // Moving instead of copying keeps deep nesting linear.
            Some(parent) if parent.text.is_empty() => parent.text = text,
            Some(parent) => parent.text.push_str(&text),
            None => {}
        }
    }
}

/// Puts `sign` around each line, inside its white space: WhatsApp formats neither across lines nor beside spaces.
fn wrap(text: &str, sign: char) -> String {
    let line = |line: &str| {
        let inner = line.trim();
        if inner.is_empty() {
            line.to_owned()
        } else {
            line.replacen(inner, &format!("{sign}{inner}{sign}"), 1)
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Puts a prefix before each line that is not blank.
fn prefix(text: &str, first: &str, rest: &str) -> String {
    let mut out = String::with_capacity(text.len() + first.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if !line.is_empty() {
            out.push_str(if index == 0 { first } else { rest });
        }
        out.push_str(line);
    }
    out
}

/// `text (url)`, or one of them when the other adds nothing.
fn link(text: String, url: &str) -> String {
    let label = text.trim();
    let address = url.strip_prefix("mailto:").or_else(|| url.strip_prefix("tel:"));
    let same =
        address.is_some_and(|address| label.replace([' ', '-', '(', ')'], "") == address.replace('-', ""));
    if url.is_empty() || url.starts_with('#') || same {
        return text;
    }
    let bare = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
    if label.is_empty() || label == url || label == bare || Some(label) == bare.strip_suffix('/') {
        return url.to_owned();
    }
    format!("{text} ({url})")
}

/// `[Date]: tomorrow` defines a link in Markdown and so disappears; unless a link uses it, it was meant as text.
fn keep_unused_definitions(mut source: String) -> String {
    // Of definitions of one name only the first is reported, so a repeated one needs another round.
    for _ in 0..4 {
        if !source.contains("]:") {
            break;
        }
        let parser = Parser::new_ext(&source, OPTIONS);
        let definitions: Vec<(String, usize)> = parser
            .reference_definitions()
            .iter()
            .map(|(label, definition)| (label.to_lowercase(), definition.span.start))
            .collect();
        let used: HashSet<String> = parser.filter_map(reference).map(|id| id.to_lowercase()).collect();
        let mut unused: Vec<usize> = definitions
            .into_iter()
            .filter(|(label, _)| !used.contains(label))
            .filter_map(|(_, start)| Some(start + source.get(start..)?.find('[')?))
            .collect();
        if unused.is_empty() {
            break;
        }
        unused.sort_unstable();
        source = escape_at(&source, &unused);
    }
    source
}

fn reference(event: Event) -> Option<CowStr> {
    match event {
        Event::Start(Tag::Link { link_type, id, .. } | Tag::Image { link_type, id, .. }) => {
            matches!(link_type, LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut).then_some(id)
        }
        _ => None,
    }
}

/// Puts a backslash before each of these positions (ascending, on character boundaries).
fn escape_at(source: &str, positions: &[usize]) -> String {
    let mut out = String::with_capacity(source.len() + positions.len());
    let mut done = 0;
    for &position in positions {
        out.push_str(&source[done..position]);
        out.push('\\');
        done = position;
    }
    out.push_str(&source[done..]);
    out
}

#[cfg(test)]
mod tests;
