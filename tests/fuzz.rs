//! The fuzzer's entries on stable: over its corpus, over the corpus with pieces changed, and over random bytes.
//! `fuzz/` holds the targets for `cargo fuzz`.

#[path = "../fuzz/entry.rs"]
mod entry;

use std::path::Path;

use proptest::prelude::*;

/// The corpus of one target; never empty.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).expect("each target has a corpus");
    let all: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(all.len() >= 3, "{target}: a corpus says what the bytes are like");
    all
}

/// A change to a file: what stands from here on for so many bytes is replaced, so many times over.
type Edit = (prop::sample::Index, usize, Vec<u8>, usize);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        r#"[\\{}\[\]:",.*_~`<>|#/@%0-9a-z \n\u{0}é😀]{0,6}"#.prop_map(String::into_bytes),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, piece, 1..4_usize), 0..5)
}

fn edited(file: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for (at, gone, piece, times) in edits {
        let from = at.index(bytes.len() + 1);
        let to = (from + gone).min(bytes.len());
        bytes.splice(from..to, piece.repeat(*times));
    }
    bytes
}

macro_rules! targets {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn the_corpus_holds() {
                corpus(stringify!($name)).iter().for_each(|file| entry::$name(file));
            }

            proptest! {
                #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_500) })]
                #[test]
                fn and_everything_like_it(file in prop::sample::select(corpus(stringify!($name))), edits in edits()) {
                    entry::$name(&edited(&file, &edits));
                }

                #[test]
                fn and_anything_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
                    entry::$name(&bytes);
                }
            }
        }
    )*};
}

targets! { signature_header webhook markdown url_guard sealed_secret waha_event }

/// Each target has its entry, its corpus and its file, and nothing is left over.
#[test]
fn every_target_is_run() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = |folder: &str| -> Vec<String> {
        let stem = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
        };
        let mut names: Vec<_> = std::fs::read_dir(here.join(folder)).unwrap().map(stem).collect();
        names.sort();
        names
    };
    let run = ["markdown", "sealed_secret", "signature_header", "url_guard", "waha_event", "webhook"];
    assert_eq!(list("fuzz/fuzz_targets"), run);
    assert_eq!(list("fuzz/corpus"), run);
}
