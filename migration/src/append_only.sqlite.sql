
-- The audit log is added to, never changed.
create trigger audit_log_keeps_lines before update on audit_log
begin
    select raise(abort, 'the audit log is never changed');
end;
create trigger audit_log_keeps_all before delete on audit_log
begin
    select raise(abort, 'nothing is removed from the audit log');
end;
