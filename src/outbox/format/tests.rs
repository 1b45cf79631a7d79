//! Tests of [`super`].

use proptest::prelude::*;

use super::*;

#[test]
fn plain_text_comes_through_unharmed() {
    for text in [
        "Hello! How can I help you?",
        "2 * 3 * 4 = 24",
        "5*3*2 and 2**3**4",
        "a*b*c",
        "snake_case_name, __init__.py and src/__tests__/a.rs",
        ":) http://a.b/c_d_e",
        "https://a.b/_x_/__y__/*z*?q=~a~",
        "It costs ~5 to ~10 €",
        "سلام! چطور می‌توانم کمک کنم؟",
        "مرحبا\nكيف حالك؟",
        "👨‍👩‍👧 family 🇮🇷",
        "Line one\nLine two\n\nNew paragraph",
        "Use <your_name> or <name> here, 1 < 2",
        "[Date]: tomorrow",
        "[Ali]: hi\n[Sara]: hello\n[Ali]: bye",
        "Sources:\n[1]: https://a.b",
        "#1 in sales, AT&T, 50% off_",
        "[ ] open, [x] done, see [1] and (2)",
        "1. One\n2. Two",
        "1) One\n2) Two",
        "- a\n- b",
        "> quoted",
        "+1 555 123 4567",
        "Price* and tax*",
        "C:\\new\\dir",
    ] {
        assert_eq!(to_whatsapp(text), text);
    }
}

#[test]
fn markdown_becomes_whatsapp() {
    for (markdown, expected) in [
        ("**bold** and __bold__", "*bold* and *bold*"),
        ("*it* and _it_", "_it_ and _it_"),
        ("~~gone~~", "~gone~"),
        ("***both***", "_*both*_"),
        ("**a __b__ c**", "*a b c*"),
        ("un**believ**able", "unbelievable"),
        ("**پررنگ** است", "*پررنگ* است"),
        ("**two\nlines**", "*two*\n*lines*"),
        ("`code` and ``a`b``", "`code` and a`b"),
        ("```rust\nfn x() {}\n\n    y\n```", "```\nfn x() {}\n\n    y\n```"),
        ("~~~\na ``` b\n~~~", "a ``` b"),
        ("# Title\nText", "*Title*\nText"),
        ("## A **bold** title ##\n\nText", "*A bold title*\n\nText"),
        ("[shop](https://a.b/c)", "shop (https://a.b/c)"),
        ("[https://a.b](https://a.b)", "https://a.b"),
        ("[a.b](https://a.b/)", "https://a.b/"),
        ("<https://a.b/c_d>", "https://a.b/c_d"),
        ("<me@a.b>, [me@a.b](mailto:me@a.b), [+1 555](tel:+1555)", "me@a.b, me@a.b, +1 555"),
        ("[top](#top) [](https://a.b)", "top https://a.b"),
        ("[the shop][s]\n\n[s]: https://a.b", "the shop (https://a.b)"),
        ("**[shop](https://a.b)**", "*shop (https://a.b)*"),
        ("![A cat](https://a.b/c.png) ![](https://a.b/d.png)", "A cat (https://a.b/c.png) https://a.b/d.png"),
        ("* a\n* b\n  * c\n    1. d\n    2. e\n* f", "- a\n- b\n  - c\n    1. d\n    2. e\n- f"),
        ("1. a\n   - b\n1. c", "1. a\n   - b\n2. c"),
        ("- a\n\n- b\n\n  more", "- a\n\n- b\n\n  more"),
        ("Options:\n- a\n- b\n\nDone", "Options:\n- a\n- b\n\nDone"),
        ("3. three\n\ntext\n\n4. four", "3. three\n\ntext\n\n4. four"),
        ("- [ ] todo\n-\n- x", "- [ ] todo\n-\n- x"),
        ("> a\n> b\n>\n> c", "> a\n> b\n\n> c"),
        ("> - a\n>   - b", "> - a\n>   - b"),
        ("- > q\n- ```\n  x\n  ```", "- > q\n- ```\n  x\n  ```"),
        (
            "| Plan | Price |\n|---|--:|\n| **Basic** | 5 € |\n| Pro<br>max | |",
            "*Plan* | *Price*\n*Basic* | 5 €\nPro max |",
        ),
        ("a\n\n---\n\nb", "a\n\n---\n\nb"),
        ("a  \nb\\\nc", "a\nb\nc"),
        ("a\r\nb\rc\n\n\n\n\nd   ", "a\nb\nc\n\nd"),
        ("x<br>y <b>z</b><!-- no -->", "x\ny z"),
        ("<div>\n<p>Hi</p>\n</div>", "Hi"),
        (r"\*not bold\* \# \_x\_", "*not bold* # _x_"),
        ("&lt;tag&gt; &amp; more", "<tag> & more"),
        ("<!-- nothing -->", ""),
        ("  \n ", ""),
        ("nul\0l", "null"),
    ] {
        assert_eq!(to_whatsapp(markdown), expected, "{markdown:?}");
    }
}

/// Unbounded indentation would make these outputs thousands of times longer than their inputs.
#[test]
fn hostile_nesting_stays_small() {
    for text in [
        "- ".repeat(2_000) + "x" + &"\nx".repeat(2_000),
        "> ".repeat(2_000) + "x" + &"\nx".repeat(2_000),
        "1. > ".repeat(1_000) + "x" + &"\nx".repeat(2_000),
        "*a ".repeat(5_000),
        "**a*b".repeat(5_000),
        "![".repeat(5_000) + "](x)",
        "<!--".repeat(5_000),
        "[a]: b\n".repeat(5_000),
    ] {
        let out = to_whatsapp(&text);
        assert!(out.len() < 20 * text.len(), "{} became {}", text.len(), out.len());
    }
}

proptest! {
    #[test]
    fn never_panics(text in any::<String>()) {
        to_whatsapp(&text);
    }

    #[test]
    fn never_panics_on_markdown(text in r"(\*|_|~|`|```|\n|\n\n|    | |- |1\. |> |#|\||---|\[|\]|\(|\)|:|<b>|<!--|-->|<|http://|a|é|😀|\\|&amp;|!|\t|\r){0,60}") {
        let out = to_whatsapp(&text);
        prop_assert_eq!(out.trim(), &out[..]);
        prop_assert!(out.lines().all(|line| line.trim_end() == line));
    }

    #[test]
    fn words_are_never_lost(text in r"[a-zA-Z0-9اب😀,.?! ']{0,80}") {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(words(&to_whatsapp(&text)), words(&text));
    }
}
