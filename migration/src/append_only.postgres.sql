
-- The audit log is added to, never changed.
create function refuse_audit_log_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is never changed';
end $$;
create trigger audit_log_keeps_lines before update or delete or truncate on audit_log
    for each statement execute function refuse_audit_log_change();
