//! What a copy that is brought back must not do by itself: it holds work that was done since it was made.

/// The statements that put such work aside at `now` (Unix milliseconds), for people to open again: deliveries become
/// `unknown`, turns `dead`, waiting messages stay unanswered, and events that were unread, or parked until their account
/// is active, are quarantined, since the messages they brought may be missing in the copy and would be answered once more.
pub fn put_aside(now: i64) -> [String; 6] {
    [
        format!(
            "update attempts set outcome = 'unknown', finished_at = {now}, detail = 'restored' \
                 where finished_at is null"
        ),
        "update deliveries set status = 'unknown', reason = 'restored' where status in ('queued', 'sending')"
            .into(),
        format!(
            "update turns set status = 'dead', reason = 'restored', closed_at = {now} where status = 'asking'"
        ),
        "update messages set note = 'restored' where id in (select message_id from pending_messages)".into(),
        "delete from pending_messages".into(),
        "update event_states set state = 'quarantined', reason = 'restored' where state in ('received', 'parked')".into(),
    ]
}
