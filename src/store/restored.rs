//! What a copy that is brought back must not do by itself: it holds work that was done since it was made.

/// The statements that put such work aside at `now` (Unix milliseconds), for people to open again: deliveries become
/// `unknown`, turns `dead`, waiting messages stay unanswered, and events that were unread, or parked until their account
/// is active, are quarantined, since the messages they brought may be missing in the copy and would be answered once more.
///
/// Sessions stop: beside the original they would run twice. The keys of our own devices go, too: what two phones share
/// has moved on since, and old keys would break every conversation.
pub fn put_aside(now: i64) -> [String; 9] {
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
        "delete from session_keys".into(),
        format!(
            "update whatsapp_sessions set wanted = 'stopped', state = 'logged_out', reason = 'restored', \
                 detail = null, state_at = {now}, updated_at = {now}, paired = false, qr = null, qr_expires_at = null, \
                 keys_generation = keys_generation + 1, epoch = epoch + 1 where engine = 'native' and deleted_at is null"
        ),
        // What a command was about to end at its server is perhaps the original's by now.
        format!(
            "update whatsapp_sessions set wanted = 'stopped', state = 'disconnected', reason = 'restored', \
                 detail = null, state_at = {now}, updated_at = {now}, qr = null, qr_expires_at = null, \
                 epoch = epoch + 1 where engine = 'waha' and deleted_at is null \
                 and (wanted = 'running' or reason in ('stopping', 'logging_out'))"
        ),
        "update event_states set state = 'quarantined', reason = 'restored' where state in ('received', 'parked')".into(),
    ]
}
