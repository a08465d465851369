-- no-transaction
-- Without a list of pending entries, which each look-up would go through.
create index concurrently if not exists memories_words on memories using gin (words) with (fastupdate = off)
