-- The hash of the latest version's content, beside the latest version's number: whoever adds a version compares with it
-- under the lock of the row that it then changes. Null for a prompt that an earlier release made and has not changed since.
alter table prompts add column latest_content_hash bytea check (octet_length(latest_content_hash) = 32);
