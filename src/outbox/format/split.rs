//! Cuts a text that is too long for one WhatsApp message into as few pieces as read well.
//!
//! Meta says "4096 characters" and not which; lengths here are UTF-16 units, the largest of the usual counts, so
//! that neither code points nor units exceed the limit. Every piece is billed: a natural boundary is taken only
//! in the second half of what fits.

use unicode_segmentation::UnicodeSegmentation;

/// Longest text of one message, in UTF-16 units.
pub const MAX_TEXT: usize = 4096;

/// Closes a code block at a seam; its opening twin is put before the next piece.
const CLOSE: &str = "\n```";
const OPEN: &str = "```\n";

/// Pieces of at most `limit` UTF-16 units (at least 2, so that every character fits), none of them empty. Cuts
/// between paragraphs, lines, sentences, words or graphemes, in that order; inside a grapheme only when it is
/// longer than the limit itself. White space at the seams goes; code blocks are closed and opened again.
pub fn split(text: &str, limit: usize) -> Vec<String> {
    let limit = limit.max(2);
    let mut pieces = Vec::new();
    let fences = limit >= 64 && text.contains("```");
    let mut in_code = false;
    let mut rest = skip_space(text);
    while !rest.is_empty() {
        let head = if in_code { OPEN } else { "" };
        let end = rest.trim_end();
        // A unit is at most three bytes, so most of a very long text need not be counted again and again.
        let fits = end.len() <= limit.saturating_mul(3) && units(head) + units(end) <= limit;
        let room = if fences { limit - OPEN.len() - CLOSE.len() } else { limit };
        let cut = if fits { rest.len() } else { cut(rest, room) };
        let mut piece = format!("{head}{}", rest[..cut].trim_end());
        rest = &rest[cut..];
        in_code = fences && !fits && piece.matches("```").count() % 2 == 1;
        if in_code {
            piece.push_str(CLOSE);
            // Only the line's end goes: the next line's indentation is part of the code.
            rest = rest.strip_prefix('\n').unwrap_or(rest);
        } else {
            rest = skip_space(rest);
        }
        if !piece.trim().is_empty() {
            pieces.push(piece);
        }
    }
    pieces
}

/// Where to cut a text that is longer than `room`: a byte index above 0.
fn cut(text: &str, room: usize) -> usize {
    // Grapheme boundaries that fit, 0 excluded; a boundary before white space counts as one between words.
    let mut boundaries = Vec::new();
    let mut word = None;
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        if at > 0 {
            boundaries.push(at);
            if is_space(grapheme) {
                word = Some(at);
            }
        }
        used += units(grapheme);
        if used > room {
            break;
        }
    }
    let Some(&longest) = boundaries.last() else { return cut_hard(text, room) };

    let window = &text[..longest];
    let late = |at: &usize| *at > longest / 2 && boundaries.binary_search(at).is_ok();
    let last = |mark: &str| window.rfind(mark).filter(late);
    let sentence = || window.split_sentence_bound_indices().map(|(at, _)| at).filter(late).last();
    last("\n\n").or_else(|| last("\n")).or_else(sentence).or(word).unwrap_or(longest)
}

/// For a single grapheme that is longer than `room`: as many characters as fit.
fn cut_hard(text: &str, room: usize) -> usize {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.len_utf16();
        if used > room && at > 0 {
            return at;
        }
    }
    text.len()
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

fn is_space(grapheme: &str) -> bool {
    grapheme.chars().all(char::is_whitespace)
}

/// Drops leading white space, but never the space that carries a combining mark.
fn skip_space(text: &str) -> &str {
    let first = text.grapheme_indices(true).find(|(_, grapheme)| !is_space(grapheme));
    first.map_or("", |(at, _)| &text[at..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn without_space(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    #[test]
    fn cuts_at_the_best_boundary_in_the_second_half() {
        for (why, text, limit, pieces) in [
            ("fits", "short", 10, &["short"][..]),
            ("exactly", "0123456789", 10, &["0123456789"]),
            ("paragraph", "aaaa aaaa.\n\nbb bb\nbb", 18, &["aaaa aaaa.", "bb bb\nbb"]),
            ("line", "one two. three\nfour five", 20, &["one two. three", "four five"]),
            ("sentence", "I am here now. You are there", 20, &["I am here now.", "You are there"]),
            ("persian", "سلام خوبی؟ من خوبم ممنون", 16, &["سلام خوبی؟", "من خوبم ممنون"]),
            ("word", "aaaa bbbb cccc", 11, &["aaaa bbbb", "cccc"]),
            ("word at the edge", "aaaa bbbb", 4, &["aaaa", "bbbb"]),
            ("not too early", "a\n\nbbbb bbbb bbbb", 12, &["a\n\nbbbb bbbb", "bbbb"]),
            ("grapheme", "👨‍👩‍👧👨‍👩‍👧", 9, &["👨‍👩‍👧", "👨‍👩‍👧"]),
            ("grapheme longer than the limit", "👨‍👩‍👧", 3, &["👨\u{200d}", "👩\u{200d}", "👧"]),
            ("flag", "🇮🇷🇪🇸", 5, &["🇮🇷", "🇪🇸"]),
            ("limit below one emoji", "😀", 0, &["😀"]),
            ("blank", " \n\t ", 10, &[]),
            ("empty", "", 10, &[]),
        ] {
            assert_eq!(split(text, limit), pieces, "{why}");
        }
    }

    #[test]
    fn code_blocks_are_closed_and_opened_again() {
        let line = "    let x = 1;\n";
        let text = format!("Look:\n```\n{}```\nDone.", line.repeat(20));
        let pieces = split(&text, 120);
        assert!(pieces.len() > 2);
        for piece in &pieces {
            assert_eq!(piece.matches("```").count() % 2, 0, "{piece}");
            assert!(units(piece) <= 120);
        }
        assert!(pieces[1].starts_with("```\n    let x = 1;\n"), "{}", pieces[1]);
        let kept: usize = pieces.iter().map(|piece| piece.matches("    let x = 1;").count()).sum();
        assert_eq!(kept, 20);
        assert!(pieces.last().unwrap().ends_with("```\nDone."));
    }

    #[test]
    fn an_ordinary_long_answer_costs_two_messages() {
        let text = "Word after word makes a sentence. ".repeat(200);
        let pieces = split(&text, MAX_TEXT);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].ends_with('.'));
    }

    proptest! {
        #[test]
        fn keeps_content_limit_and_graphemes(
            text in r"([a-z.!\n ]|[ا-ی؟]|[😀-😎]|\u{200d}|\u{301}|[🇦-🇿]|\r\n|é){0,300}",
            limit in 0usize..60,
        ) {
            let pieces = split(&text, limit);
            prop_assert_eq!(without_space(&pieces.concat()), without_space(&text));
            for piece in &pieces {
                prop_assert!(!piece.trim().is_empty());
                prop_assert!(units(piece) <= limit.max(2));
            }
        }

        /// Cut pieces, put back with their white space, break the text only between graphemes.
        #[test]
        fn never_cuts_inside_a_grapheme(text in r"([a-c \n]|[😀-😎]\u{200d}[😀-😎]|e\u{301}|🇮🇷){0,200}", limit in 8usize..40) {
            let whole: Vec<&str> = text.graphemes(true).filter(|g| !is_space(g)).collect();
            let pieces = split(&text, limit);
            let cut: Vec<&str> = pieces.iter().flat_map(|p| p.graphemes(true)).filter(|g| !is_space(g)).collect();
            prop_assert_eq!(cut, whole);
        }

        #[test]
        fn respects_the_limit_with_code(text in "(```|`|[a-z \n]){0,400}", limit in 0usize..200) {
            for piece in split(&text, limit) {
                prop_assert!(!piece.trim().is_empty());
                prop_assert!(units(&piece) <= limit.max(2));
            }
        }

        #[test]
        fn never_panics(text in any::<String>(), limit in any::<usize>()) {
            split(&text, limit);
        }
    }
}
