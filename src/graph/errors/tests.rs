//! Tests of [`super`]: every row of the table, and what happens beside it.

use std::collections::HashMap;

use super::Reaction::*;
use super::*;

#[test]
fn every_row() {
    for (codes, reaction, reason) in [
        (&[4, 80007, 130429][..], RetryLater, "rate_limited"),
        (&[131056], PairLimit, "pair_limited"),
        (&[133016], AccountRestricted, "registration_limited"),
        (&[1, 2, 131000, 131016, 131057, 133004], Ambiguous, "meta_unavailable"),
        (&[131047], WindowClosed, "window_closed"),
        (&[131026], Undeliverable, "undeliverable"),
        (&[131049], Permanent, "marketing_limited"),
        (&[131050], OptedOut, "opted_out"),
        (&[131048], AccountRestricted, "spam_limited"),
        (&[131064], AccountRestricted, "template_misuse"),
        (&[131051, 131008, 131009, 100, 33, 803, 135000], Permanent, "bad_request"),
        (&[131021], Permanent, "own_number"),
        (&[131052, 131053], Permanent, "media_failed"),
        (&[131062], Permanent, "phone_needed"),
        (&[131030], Undeliverable, "recipient_not_allowed"),
        (&[131037, 131045, 133010, 133000, 133006, 133015], AccountRestricted, "number_not_ready"),
        (&[131042], AccountRestricted, "payment_missing"),
        (&[131031, 368], AccountRestricted, "account_restricted"),
        (&[130497], Undeliverable, "country_restricted"),
        (&[0, 190], TokenInvalid, "token_invalid"),
        (&[3, 10, 200, 250, 299, 131005], TokenInvalid, "permission_missing"),
        (
            &[132000, 132001, 132005, 132007, 132012, 132015, 132016, 132018, 132068, 132069],
            Permanent,
            "template_invalid",
        ),
        (&[130403], Undeliverable, "contact_blocked"),
        (&[130472], Permanent, "experiment"),
        (&[134100, 134101, 134102, 131055, 131063], Permanent, "marketing_api"),
        (&[136024], Permanent, "already_verified"),
        (&[139000, 138000, 131200, 147001], Permanent, "not_supported"),
    ] {
        for &code in codes {
            let verdict = verdict(code).unwrap_or_else(|| panic!("{code} is missing"));
            assert_eq!((verdict.reaction, verdict.reason), (reaction, reason), "{code}");
            assert_eq!(verdict.may_retry(), matches!(reaction, RetryLater | PairLimit));
            assert_eq!(verdict.certainly_not_sent(), reaction != Ambiguous);
        }
    }
    assert_eq!(verdict(999_999), None);
    assert_eq!(verdict(-1), None);
}

#[test]
fn a_reason_names_one_verdict_and_each_advice_is_a_sentence() {
    let mut seen = HashMap::new();
    for (_, verdict) in TABLE {
        assert_eq!(seen.insert(verdict.reason, verdict.advice), None, "{} stands twice", verdict.reason);
        assert!(verdict.reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", verdict.reason);
        assert!(verdict.advice.ends_with('.'), "{}", verdict.advice);
        assert_eq!(by_reason(verdict.reason), Some(*verdict));
    }
    assert_eq!(by_reason("refused"), Some(&REFUSED));
    assert_eq!(by_reason("nonsense"), None);
}

#[test]
fn no_code_stands_in_two_rows() {
    let ranges = || TABLE.iter().flat_map(|(codes, _)| codes.iter());
    for (i, a) in ranges().enumerate() {
        for b in ranges().skip(i + 1) {
            assert!(a.end() < b.start() || b.end() < a.start(), "{a:?} and {b:?}");
        }
    }
}

#[test]
fn reads_metas_error_body() {
    let body =
        br#"{"error":{"message":"(#131047) Re-engagement message","type":"OAuthException","code":131047,
        "error_data":{"messaging_product":"whatsapp","details":"More than 24 hours have passed"},
        "error_subcode":2494010,"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam","is_transient":false}}"#;
    let error = GraphError::parse(400, body);
    assert_eq!(error.code, Some(131047));
    assert_eq!(error.fbtrace_id.as_deref(), Some("Az8or2yhqkZfEZ-_4Qn_Bam"));
    assert_eq!(error.to_string(), "More than 24 hours have passed (HTTP 400, code 131047)");
    assert_eq!(error.verdict().reason, "window_closed");
}

#[test]
fn without_a_known_code_http_decides() {
    for (http, body, reason) in [
        (400, "{}", "refused"),
        (403, "<html>blocked</html>", "refused"),
        (401, "", "token_invalid"),
        (408, "", "meta_unavailable"),
        (429, "slow down", "rate_limited"),
        (500, r#"{"error":{"message":"x"}}"#, "meta_unavailable"),
        (502, "<html>", "meta_unavailable"),
        (400, r#"{"error":{"code":987654,"is_transient":true}}"#, "meta_unavailable"),
        (400, r#"{"error":{"code":987654}}"#, "refused"),
        (503, r#"{"error":{"code":4}}"#, "rate_limited"),
        (500, r#"{"error":{"code":190}}"#, "token_invalid"),
    ] {
        assert_eq!(GraphError::parse(http, body.as_bytes()).verdict().reason, reason, "{http} {body}");
    }
}
