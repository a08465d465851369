-- The words of a memory as the service takes them apart, which does not depend on the database's locale. They replace the
-- column search, which the previous release still reads.
--
-- The previous release leaves words and words_etag as they are, and gives a memory a new etag each time it writes it. So the
-- words are those of the content if and only if words_etag = etag. A sweep computes the words of all other memories.
alter table memories add column words tsvector, add column words_etag uuid;
